//! STUB
use super::*;
impl Checked {
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"verdict": self.verdict()})
    }
    pub fn to_markdown(&self) -> String {
        String::new()
    }
    pub fn to_junit(&self) -> String {
        String::new()
    }
    pub fn to_table(&self) -> String {
        format!("{} {}\n{:#?}\n", self.verdict(), self.headline(), self.findings)
    }
    pub fn exit(&self) -> crate::exit::Exit {
        crate::exit::Exit::Ok
    }
}
