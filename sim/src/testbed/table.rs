//! Columns of text for people.

use std::fmt;

/// Rows under a heading, printed with columns as wide as they must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with only its heading.
    pub fn new(heading: impl IntoIterator<Item = String>) -> Self {
        Self { rows: vec![heading.into_iter().collect()] }
    }

    /// Adds a row; cells that it lacks are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        (0..columns).map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["NAME", "STATE"].map(str::to_owned));
        table.row(["hv1", "up"].map(str::to_owned));
        table.row(["a-long-name", ""].map(str::to_owned));
        assert_eq!(table.to_string(), "NAME         STATE\nhv1          up\na-long-name\n");
    }
}
