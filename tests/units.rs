//! The units in `packaging`.

use std::fs;

use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging");

/// What the unit of an instance has instead.
const OF_AN_INSTANCE: [(&str, &str); 4] = [
    ("=Generic connector:", "=Generic connector %i:"),
    (
        "/etc/generic-connector/",
        "/etc/generic-connector/instances/%i/",
    ),
    (
        "StateDirectory=generic-connector\n",
        "StateDirectory=generic-connector/instances/%i\n",
    ),
    (
        "LogsDirectory=generic-connector\n",
        "LogsDirectory=generic-connector/instances/%i\n",
    ),
];

#[test]
fn the_template_is_the_unit_with_the_places_of_an_instance() {
    let mut unit = fs::read_to_string(format!("{FOLDER}/generic-connector.service")).unwrap();
    for (of_the_unit, of_an_instance) in OF_AN_INSTANCE {
        assert!(unit.contains(of_the_unit), "{of_the_unit}");
        unit = unit.replace(of_the_unit, of_an_instance);
    }
    let template = format!("{FOLDER}/generic-connector@.service");
    let template = Data::read_from(template.as_ref(), Some(DataFormat::Text));
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(unit, template.raw());
}
