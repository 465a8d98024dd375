use super::html::Element;

/// A table that a narrow screen shows as one block for each row, so that nobody scrolls sideways. Browsers take the
/// meaning of a table that they show as blocks away, hence the roles.
pub(super) struct DataTable {
    columns: Vec<DataColumn>,
    head: Element,
    body: Element,
}

/// A column: its title, and whether it has numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum DataColumn {
    /// The first one, which names its row.
    Name(&'static str),
    /// Words of this program, which stay whole.
    Words(&'static str),
    /// Words of others, which may be of any length.
    Foreign(&'static str),
    /// Numbers, whose last digits are below each other.
    Numbers(&'static str),
}

impl DataTable {
    /// A table without a row yet.
    pub fn new(columns: &[DataColumn]) -> DataTable {
        let titles = columns.iter().map(|column| {
            let title = Element::new("th").attribute("scope", "col");
            let title = column.styled(title).attribute("role", "columnheader");
            title.text(column.title())
        });
        let titles = row().with_all(titles);
        DataTable {
            columns: columns.to_vec(),
            head: Element::new("thead")
                .attribute("role", "rowgroup")
                .with(titles),
            body: Element::new("tbody").attribute("role", "rowgroup"),
        }
    }

    /// Adds a row with a cell for each column. A cell is what is in it.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Element>) {
        let cells = self.columns.iter().zip(cells);
        let cells = cells.map(|(column, content)| {
            let cell = match column {
                DataColumn::Name(_) => Element::new("th")
                    .attribute("scope", "row")
                    .attribute("role", "rowheader"),
                _ => Element::new("td")
                    .attribute("role", "cell")
                    .attribute("data-title", column.title()),
            };
            column.styled(cell).with(content)
        });
        let row = row().with_all(cells);
        let body = std::mem::replace(&mut self.body, Element::new("tbody"));
        self.body = body.with(row);
    }

    /// The table under its caption.
    pub fn captioned(self, caption: &str) -> Element {
        Element::new("table")
            .attribute("role", "table")
            .with(Element::new("caption").text(caption))
            .with(self.head)
            .with(self.body)
    }
}

impl DataColumn {
    fn title(self) -> &'static str {
        match self {
            DataColumn::Name(title)
            | DataColumn::Words(title)
            | DataColumn::Foreign(title)
            | DataColumn::Numbers(title) => title,
        }
    }

    fn styled(self, cell: Element) -> Element {
        match self {
            DataColumn::Numbers(_) => cell.attribute("class", "n"),
            DataColumn::Foreign(_) => cell.attribute("class", "f"),
            DataColumn::Name(_) | DataColumn::Words(_) => cell,
        }
    }
}

fn row() -> Element {
    Element::new("tr").attribute("role", "row")
}
