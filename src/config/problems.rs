/// What is wrong with a configuration, each with its fix: who has two faults to correct sees both at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// What was checked, if nothing is wrong with it.
    pub fn note<T>(&mut self, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.add(problem)).ok()
    }

    /// Something else is wrong.
    pub fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.0.join("; also, ")
    }
}
