//! Planning without running.

use super::Session;
use crate::catalog::ddl::plain_name;
use crate::error::Result;
use crate::plan::Node;
use crate::sql::{Insert, Statement, StatementKind};

impl Session {
    /// Plans a statement without running it; what is risky about it. Statements that define something
    /// (CREATE, SET, DROP) take effect in this session, so that what follows is checked against them.
    pub fn check(&self, statement: &Statement) -> Result<Vec<String>> {
        match &statement.kind {
            StatementKind::Query(query) => {
                let planner = self.planner();
                Ok(warnings(&planner.lower(&planner.query(query)?)?))
            }
            StatementKind::Insert(insert) => self.check_inserts(std::slice::from_ref(insert)),
            StatementKind::StatementSet(inserts) => self.check_inserts(inserts),
            StatementKind::CreateTable(table) if table.query.is_some() => self.check_table_as(table),
            StatementKind::Quit | StatementKind::StopJob { .. } | StatementKind::DescribeJob(_) => {
                Ok(Vec::new())
            }
            StatementKind::ExplainAnalyze { statement: analyzed, .. } => {
                self.check(&Statement { kind: (**analyzed).clone(), ..statement.clone() })
            }
            _ => self.execute(statement).map(|_| Vec::new()),
        }
    }

    fn check_inserts(&self, inserts: &[Insert]) -> Result<Vec<String>> {
        let planner = self.planner();
        let mut found = Vec::new();
        for ((node, table, _), insert) in self.plan_inserts(&planner, inserts)?.into_iter().zip(inserts) {
            found.extend(warnings(&self.output(&planner, insert, &table, node)?.node));
        }
        Ok(found)
    }

    /// CREATE TABLE AS: the table without its rows.
    fn check_table_as(&self, statement: &crate::sql::CreateTable) -> Result<Vec<String>> {
        let (table, insert) = self.split_table_as(statement)?;
        let existed = self.catalog().get(plain_name(&table.name)?).is_some();
        self.create_table(&table)?;
        if existed { Ok(Vec::new()) } else { self.check_inserts(&[insert]) }
    }
}

fn warnings(node: &Node) -> Vec<String> {
    let mut warnings = Vec::new();
    node.walk(&mut |node| warnings.extend(node.warnings.iter().cloned()));
    warnings
}
