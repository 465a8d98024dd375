use std::time::Instant;

use super::{CommandError, Exit, print};
use crate::api::span;
use crate::cli::MigrateOptions;
use crate::config::{Outline, StateOwner};
use crate::store::{Migration, Store};

/// Brings the state to the layout of this program, or says what that takes.
pub(super) fn run(options: &MigrateOptions) -> Result<Exit, CommandError> {
    let file = &options.config.config;
    let directory = Outline::read(file)?.state_directory;
    let migration = Migration::of(&directory)?;
    print(&before(&migration));
    if !migration.is_needed() {
        return Ok(Exit::Done);
    }
    if options.dry_run {
        return Ok(if migration.lacks_room() {
            Exit::Findings
        } else {
            Exit::Done
        });
    }
    let owner = StateOwner::read(file)?;
    let began = Instant::now();
    drop(Store::open(&directory, &owner.identity)?);
    print(&after(&Migration::of(&directory)?, &migration, began));
    Ok(Exit::Done)
}

/// What there is, and what it takes.
fn before(migration: &Migration) -> String {
    let Migration {
        file,
        found,
        wanted,
        is_interrupted,
        room,
        copy,
        ..
    } = migration;
    let mut text = format!(
        "state      {}, layout {found}, {}\nprogram    layout {wanted}\n",
        file.display(),
        in_units(room.file)
    );
    if !migration.is_needed() {
        return text + "migration  none is needed\n";
    }
    if *is_interrupted {
        text += "migration  an interrupted one is continued\n";
    }
    if migration.is_copied() {
        text += &format!(
            "copy       {}, {} at most\n",
            copy.display(),
            in_units(room.file)
        );
    }
    let free = room.free.map_or("not known".to_owned(), in_units);
    let lack = if migration.lacks_room() {
        ": too little, make room first"
    } else {
        ""
    };
    let needed = in_units(migration.needed());
    text += &format!("room       {needed} needed, {free} free{lack}\n");
    text + &format!("time       about {}\n", span(migration.time().as_secs()))
}

/// What was done.
fn after(now: &Migration, before: &Migration, began: Instant) -> String {
    let took = span(began.elapsed().as_secs());
    let mut text = format!(
        "migrated   from layout {} to {} in {took}; the state has {} now\n",
        before.found,
        now.found,
        in_units(now.room.file)
    );
    if before.is_copied() {
        text += &format!("way back   {}\n", before.copy.display());
    }
    text
}

/// Bytes in words.
fn in_units(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        10_000_000.. => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}
