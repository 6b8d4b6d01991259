//! EXPLAIN: the logical plan and, as it will run, the continuous plan.

use std::fmt::Write as _;

use datafusion_expr::LogicalPlan;

use super::graph::Branch;

/// Draws a plan; `sink` names where the rows go.
pub fn explain(logical: &LogicalPlan, branches: &[Branch], sink: &str, parallelism: usize) -> String {
    let mut text = String::from("== Logical Plan ==\n");
    let _ = writeln!(text, "{}", logical.display_indent());
    text.push_str("\n== Continuous Plan ==\n");
    let _ = writeln!(text, "{sink}");
    let single = branches.len() == 1;
    for (index, branch) in branches.iter().enumerate() {
        let last = index + 1 == branches.len();
        let (mut lead, rest) = match (single, last) {
            (true, _) => ("+- ".to_string(), "   ".to_string()),
            (false, true) => ("+- ".to_string(), "   ".to_string()),
            (false, false) => ("+- ".to_string(), "|  ".to_string()),
        };
        for step in branch.steps.iter().rev() {
            let _ = writeln!(text, "{lead}{}({})", step.name, step.detail);
            lead = format!(
                "{}{}",
                if lead.len() == 3 { rest.clone() } else { lead.replace("+- ", "   ") },
                "+- "
            );
        }
        let tasks = parallelism.min(branch.source.max_parallelism()).max(1);
        let bounded = if branch.source.bounded() { "bounded" } else { "unbounded" };
        let _ = writeln!(text, "{lead}Source: {}, {bounded}, parallelism={tasks}", branch.source_detail);
    }
    text
}
