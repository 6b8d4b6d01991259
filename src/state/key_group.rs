//! Key groups: the unit in which keys are given to tasks.
//!
//! ```text
//!  values of the key columns ──> hash ──> one of 128 key groups ──> task
//! ```
//! Each task has a contiguous range of groups, so that state can be given to another number of tasks without
//! looking at more than the ranges that moved.

use std::ops::Range;

/// Key groups of a job, and the most tasks that can share them.
pub const KEY_GROUPS: usize = 128;

/// The key group of a hash (of [`super::hash_rows`]).
pub fn key_group(hash: u64) -> usize {
    (hash >> 57) as usize
}

/// The task that has a key group, as Flink's `KeyGroupRangeAssignment` computes it.
pub fn task_of_group(group: usize, tasks: usize) -> usize {
    group * tasks / KEY_GROUPS
}

/// The key groups of a task.
pub fn groups_of_task(task: usize, tasks: usize) -> Range<usize> {
    let first = |task: usize| (task * KEY_GROUPS).div_ceil(tasks.max(1)).min(KEY_GROUPS);
    first(task)..first(task + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_assignment() {
        for tasks in 1..=KEY_GROUPS + 3 {
            for task in 0..tasks {
                let of_task: Vec<usize> =
                    (0..KEY_GROUPS).filter(|&g| task_of_group(g, tasks) == task).collect();
                assert_eq!(groups_of_task(task, tasks).collect::<Vec<_>>(), of_task, "{task} of {tasks}");
            }
        }
    }
}
