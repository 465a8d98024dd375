use std::time::Duration;

use proptest::prelude::*;

use super::LOOKBACK;
use super::service::{
    ModelChange, ModelFilter, ModelLargerPages, ModelOrder, ModelPaging, ModelQuirks,
};

/// What happens at a service. `wild`: its cap may change, and its clock may jump.
pub fn changes(wild: bool) -> impl Strategy<Value = Vec<ModelChange>> {
    let only_wild = move |change| if wild { change } else { ModelChange::Wait };
    let change = prop_oneof![
        8 => Just(ModelChange::Insert),
        12 => any::<usize>().prop_map(ModelChange::Update),
        4 => (0..=LOOKBACK as i64).prop_map(ModelChange::Late),
        2 => (any::<usize>(), 0..=LOOKBACK as i64).prop_map(|(index, seconds)| ModelChange::UpdateLate(index, seconds)),
        2 => (1i64..30).prop_map(ModelChange::Pass),
        1 => Just(ModelChange::Jump).prop_map(only_wild),
        1 => (0i64..1_000_000).prop_map(ModelChange::Late),
        1 => any::<usize>().prop_map(ModelChange::Delete),
        1 => any::<usize>().prop_map(ModelChange::Silently),
        1 => (1usize..60).prop_map(ModelChange::Cap).prop_map(only_wild),
        1 => Just(ModelChange::Sweep),
        16 => Just(ModelChange::Wait),
    ];
    prop::collection::vec(change, 0..160)
}

/// What happens at a service that hides nothing from polls: whatever changes gets a date within the lookback.
pub fn punctual_changes() -> impl Strategy<Value = Vec<ModelChange>> {
    let change = prop_oneof![
        8 => Just(ModelChange::Insert),
        12 => any::<usize>().prop_map(ModelChange::Update),
        4 => (0..=LOOKBACK as i64).prop_map(ModelChange::Late),
        4 => (any::<usize>(), 0..=LOOKBACK as i64).prop_map(|(index, seconds)| ModelChange::UpdateLate(index, seconds)),
        2 => (1i64..30).prop_map(ModelChange::Pass),
        16 => Just(ModelChange::Wait),
    ];
    prop::collection::vec(change, 0..240)
}

/// A past of more groups than [`past`], close enough for much of it to be near the present.
pub fn long_past() -> impl Strategy<Value = Vec<(i64, usize)>> {
    let gap = prop::sample::select(vec![0, 100, 1000, 1000, 1000, 5000, 60_000, 86_400_000]);
    let count = prop_oneof![
        60 => Just(1),
        20 => 1usize..8,
        1 => 8usize..60,
    ];
    prop::collection::vec((gap, count), 0..300)
}

/// Each quirk alone is likely, and so is a service without any.
pub fn quirks() -> impl Strategy<Value = ModelQuirks> {
    let order = prop_oneof![
        8 => Just(ModelOrder::Sorted),
        1 => Just(ModelOrder::NewestFirst),
        1 => Just(ModelOrder::Shuffled),
        1 => (1usize..40).prop_map(ModelOrder::SortedAtFirst),
        1 => Just(ModelOrder::UnstableTies),
    ];
    let paging = prop_oneof![
        8 => Just(ModelPaging::Honoured),
        1 => Just(ModelPaging::Ignored),
        1 => Just(ModelPaging::RepeatsTheLast),
        1 => Just(ModelPaging::WrapsAround),
        1 => Just(ModelPaging::RefusesPastTheEnd),
        // Where no second page is ever given, a short first page looks like the whole list.
        1 => (2usize..6).prop_map(ModelPaging::RefusesPast),
    ];
    let cap = prop_oneof![3 => Just(None), 1 => (1usize..60).prop_map(Some)];
    let numbers = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    (
        any::<bool>(),
        cap,
        any::<bool>(),
        order,
        filters(),
        paging,
        numbers,
        larger_pages(),
    )
        .prop_map(
            |(whole_seconds, cap, refuses_larger, order, filter, paging, numbers, larger_pages)| {
                ModelQuirks {
                    larger_pages: match paging {
                        // It asks for larger pages on purpose.
                        ModelPaging::Honoured if order != ModelOrder::UnstableTies => larger_pages,
                        _ => ModelLargerPages::Honoured,
                    },
                    from_zero: numbers.0,
                    needs_page: numbers.1,
                    null_pages: numbers.2,
                    whole_seconds,
                    cap,
                    refuses_larger: refuses_larger && cap.is_some(),
                    order,
                    filter,
                    // With two such quirks there is nothing to go by: the first page looks new in every answer, or what the filter
                    // hides lies on pages that are not given.
                    paging: match (order, filter, paging) {
                        (ModelOrder::UnstableTies, ..) => ModelPaging::Honoured,
                        (
                            _,
                            ModelFilter::Hides(_) | ModelFilter::ByCreation,
                            ModelPaging::Ignored | ModelPaging::RefusesPast(_),
                        ) => ModelPaging::Honoured,
                        _ => paging,
                    },
                }
            },
        )
}

fn larger_pages() -> impl Strategy<Value = ModelLargerPages> {
    prop_oneof![
        4 => Just(ModelLargerPages::Honoured),
        1 => (1usize..60).prop_map(ModelLargerPages::Shortened),
        1 => (1usize..60).prop_map(ModelLargerPages::ShortenedInPlace),
        1 => Just(ModelLargerPages::TooMuch),
        1 => Just(ModelLargerPages::SometimesTooMuch),
    ]
}

fn filters() -> impl Strategy<Value = ModelFilter> {
    prop_oneof![
        10 => Just(ModelFilter::Honoured),
        1 => Just(ModelFilter::Ignored),
        1 => (2usize..9).prop_map(ModelFilter::Hides),
        1 => Just(ModelFilter::ByCreation),
        1 => Just(ModelFilter::ExcludesTheSecond),
        1 => Just(ModelFilter::ExcludesTheInstant),
        1 => prop::sample::select(vec![5 * 3600, -5 * 3600, 14 * 3600, 1800]).prop_map(ModelFilter::Shifted),
        1 => prop::sample::select(vec![60, 3600, 86_400]).prop_map(ModelFilter::Coarse),
        1 => prop::sample::select(vec![60, 3600, 86_400]).prop_map(ModelFilter::CoarseAndExcludes),
    ]
}

/// The service's past: the milliseconds from one group of records to the next, and how many records share its date. Ties of
/// one to a thousand, gaps from nothing to a day.
pub fn past() -> impl Strategy<Value = Vec<(i64, usize)>> {
    let gap = prop::sample::select(vec![0, 100, 1000, 1000, 60_000, 5_000_000, 86_400_000]);
    let count = prop_oneof![
        200 => Just(1),
        40 => 1usize..8,
        4 => 8usize..200,
        1 => 200usize..1_000,
    ];
    prop::collection::vec((gap, count), 0..100)
}

pub fn page_size() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1u32..12, 1 => 12u32..=200]
}

/// How many workers read ahead, and how long one page takes alone. Where that is no time, probes are of no use.
pub fn ahead() -> impl Strategy<Value = (u32, Duration)> {
    let counts = prop::sample::select(vec![0, 1, 2, 4, 16]);
    let alone = prop::sample::select(vec![Duration::ZERO, Duration::from_secs(3_600)]);
    (counts, alone)
}

/// What long lists are read on, in pages of the configured size; 1 is that size.
pub fn larger() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![1, 2, 3, 10])
}
