//! The JSON of a check is as its schema says, and the schema refuses what it does not know. By Python's `jsonschema`.

mod common;

use common::{python, root, run_python};

#[test]
fn reports_of_a_check_are_as_their_schema_says() {
    let Some(program) = python("jsonschema") else { return };
    // Unit tests keep these up to date.
    let reports = ["json", "json_odd", "json_bare", "json_empty"];
    let reports = reports.map(|name| root(&format!("tests/snapshots/check/{name}.snap")));
    let schema = root("schemas/check-report-1.schema.json");
    run_python(&program, "schema.py", &[&[schema], &reports[..]].concat());
}
