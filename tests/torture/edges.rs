//! What happens at the edges: calls of the system that fail, a full disk, files that are renamed while they are read, and
//! runs of the same script with other variables.

use super::*;

/// The library that lets calls fail; `None` where there is no C compiler.
fn faults(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("faults.c"), folder.join("faults.so"));
    fs::write(&source, include_str!("faults.c")).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
    match compiled {
        Ok(output) if output.status.success() => Some(library),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            println!("left out: there is no C compiler for the library that lets calls fail");
            None
        }
    }
}

/// A run in which calls of the system fail for files below `under`.
fn faulty(place: &Place, library: &Path, calls: &str, one_in: u32, under: &Path, tasks: usize) -> Command {
    let mut command = place.command("p.sql", "out", tasks, "20 ms");
    command.arg("--set").arg("restart-strategy.exponential-delay.initial-backoff=10ms");
    command.arg("--set").arg("restart-strategy.exponential-delay.max-backoff=50ms");
    command.env("LD_PRELOAD", library).env("FAULTS_UNDER", under).env("FAULTS_CALLS", calls);
    command.env("FAULTS_ONE_IN", one_in.to_string());
    command
}

/// Renames, syncs, deletions, listings and writes fail now and then, of checkpoints and of results, and the program is
/// killed as well.
#[test]
fn failing_calls_at_the_edges_lose_and_double_nothing() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut rounds = variable("TORTURE_KILLS", 500) / 30;
    for (number, pipeline) in PIPELINES.iter().cycle().enumerate() {
        let scene = Scene::new(None, &mut random, 600);
        let place = &scene.place;
        let Some(library) = faults(&place.folder) else { return };
        fs::write(place.path("p.sql"), pipeline.script()).unwrap();
        let expected = truth(place, "p.sql", pipeline.format);
        let calls = ["unlink-rename", "fsync-opendir", "write-unlink", "unlink-rename-fsync-opendir-write"]
            [number % 4];
        let mut finished = false;
        for round in 0..6 {
            rounds = rounds.saturating_sub(1);
            let one_in = [10, 40, 200][random.random_range(0..3)];
            let mut command =
                faulty(place, &library, calls, one_in, &place.folder, random.random_range(2..3));
            let mut child = command.env("FAULTS_SEED", round.to_string()).spawn().unwrap();
            let moment = Duration::from_millis(random.random_range(200..2_000));
            let status = wait(&mut child, moment).unwrap_or_else(|| {
                child.kill().unwrap();
                child.wait().unwrap()
            });
            let shown = !place.has_checkpoint("out") && !place.rows("out").is_empty();
            finished = status.success() || status.code().is_none() && shown;
            if finished {
                break;
            }
        }
        if !finished {
            finish(place, pipeline, "p.sql", 2, &expected);
        }
        let found = essence(pipeline.format, place.rows("out"));
        assert!(
            found == expected,
            "{}, {calls}: {}\n{}",
            pipeline.name,
            differences(&expected, &found),
            place.said()
        );
        if rounds == 0 {
            return;
        }
    }
}

/// Nothing can be deleted, no checkpoint and no hidden file of an earlier attempt: the job ends well, once, and its result
/// is right.
#[test]
fn files_that_cannot_be_deleted_do_no_harm() {
    let mut random = StdRng::seed_from_u64(seed());
    for pipeline in &PIPELINES[..2] {
        let scene = Scene::new(None, &mut random, 600);
        let place = &scene.place;
        let Some(library) = faults(&place.folder) else { return };
        fs::write(place.path("p.sql"), pipeline.script()).unwrap();
        let expected = truth(place, "p.sql", pipeline.format);
        let start = || faulty(place, &library, "unlink", 1, &place.folder, 2).spawn().unwrap();
        let mut child = start();
        if until_another_checkpoint(place, &mut child) {
            child.kill().unwrap();
            child.wait().unwrap();
            child = start();
        }
        let status = wait(&mut child, *PATIENCE).expect("it hangs");
        assert!(status.success(), "{status}:\n{}", place.said());
        let found = essence(pipeline.format, place.rows("out"));
        assert!(found == expected, "{}\n{}", differences(&expected, &found), place.said());
        let said = fs::read_to_string(place.path("stderr.txt")).unwrap_or_default();
        assert!(said.matches("could not be deleted").count() <= 4, "{said}");
    }
}

/// A run that begins anew shows what it finds itself, and leaves nothing of the one before.
#[test]
fn a_fresh_run_leaves_nothing_of_the_one_before() {
    let mut random = StdRng::seed_from_u64(seed());
    let pipeline = &PIPELINES[0];
    let scene = Scene::new(None, &mut random, 1200);
    let place = &scene.place;
    fs::write(place.path("p.sql"), pipeline.script()).unwrap();
    let expected = truth(place, "p.sql", pipeline.format);
    let mut child = place.command("p.sql", "out", 2, "20 ms").spawn().unwrap();
    if until_another_checkpoint(place, &mut child) {
        child.kill().unwrap();
    }
    if child.wait().unwrap().success() {
        // It was faster: there is nothing to give up.
        return;
    }
    let mut child = place.command("p.sql", "out", 2, "20 ms").arg("--fresh").spawn().unwrap();
    let status = wait(&mut child, *PATIENCE).expect("it hangs");
    assert!(status.success(), "{status}:\n{}", place.said());
    let found = essence(pipeline.format, place.rows("out"));
    assert!(found == expected, "{}", differences(&expected, &found));
    let names =
        fs::read_dir(place.path("out")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with('.')).collect::<Vec<_>>(), Vec::<String>::new());
}

/// A log that is renamed and begun anew, faster and slower than anybody looks, while the program reads it and is killed.
#[test]
fn a_log_that_rotates_is_read_once() {
    let mut random = StdRng::seed_from_u64(seed());
    for (number, pause) in [1, 10, 60].into_iter().enumerate() {
        let scene = Scene::new(None, &mut random, 60);
        let place = &scene.place;
        let logs = place.path("data/logs");
        fs::create_dir_all(&logs).unwrap();
        let script = "SET 'execution.checkpointing.interval' = '${INTERVAL}';
             SET 'execution.checkpointing.dir' = '${CHECKPOINTS}';
             SET 'parallelism.default' = '${TASKS}';
             CREATE TABLE log (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DATA}/logs', 'format' = 'json',
               'source.monitor-interval' = '10 ms');
             CREATE TABLE seen (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}', 'format' = 'json',
               'sink.rolling-policy.rollover-interval' = '50 ms', 'sink.rolling-policy.check-interval' = '10 ms');
             INSERT INTO seen SELECT n FROM log;";
        fs::write(place.path("p.sql"), script).unwrap();
        let start = || place.command("p.sql", "out", 2, "20 ms").spawn().unwrap();
        let (mut child, mut rows, rounds) = (start(), 0, 60);
        for round in 0..rounds {
            let current = logs.join("app.log");
            for _ in 0..random.random_range(1..4) {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(&current).unwrap();
                for _ in 0..random.random_range(1..20) {
                    std::io::Write::write_all(&mut file, format!("{{\"n\":{rows}}}\n").as_bytes()).unwrap();
                    rows += 1;
                }
                std::thread::sleep(Duration::from_millis(random.random_range(0..=pause)));
            }
            // The older ones get other names, too.
            for older in (1..=3).rev().filter(|older| logs.join(format!("app.log.{older}")).exists()) {
                let to = if older == 3 { format!("kept-{round}") } else { format!("app.log.{}", older + 1) };
                fs::rename(logs.join(format!("app.log.{older}")), logs.join(to)).unwrap();
            }
            fs::rename(&current, logs.join("app.log.1")).unwrap();
            if random.random_bool(0.15) {
                child.kill().unwrap();
                child.wait().unwrap();
                child = start();
            }
        }
        let expected: Vec<usize> = (0..rows).collect();
        let numbers = || {
            let number =
                |row: String| row.trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap();
            let mut all: Vec<usize> = place.rows("out").into_iter().map(number).collect();
            all.sort_unstable();
            all
        };
        let begun = Instant::now();
        while numbers().len() < rows && begun.elapsed() < *PATIENCE {
            assert!(child.try_wait().unwrap().is_none(), "it ended:\n{}", place.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(&child, "TERM");
        wait(&mut child, *PATIENCE).expect("it hangs");
        assert!(
            numbers() == expected,
            "case {number}: {:?} instead of {rows} rows\n{}",
            numbers().len(),
            place.said()
        );
    }
}

/// A run with other variables reads something else: it does not go on from the state of the one before, which stays.
#[test]
fn a_run_with_other_variables_is_another_one() {
    let mut random = StdRng::seed_from_u64(seed());
    let pipeline = &PIPELINES[0];
    let scene = Scene::new(None, &mut random, 1200);
    let place = &scene.place;
    let folder = place.path("data");
    fs::create_dir_all(folder.join("others")).unwrap();
    for file in fs::read_dir(folder.join("readings")).unwrap().map(|file| file.unwrap()) {
        let text = fs::read_to_string(file.path()).unwrap().replace("{\"id\":", "{\"id\":10000");
        fs::write(folder.join("others").join(file.file_name()), text).unwrap();
    }
    fs::write(place.path("p.sql"), pipeline.script().replace("${DATA}/readings'", "${DATA}/${WHICH}'"))
        .unwrap();
    let command = |out: &str, which: &str, interval: &str| {
        let mut command = place.command("p.sql", out, 2, interval);
        command.arg("--var").arg(format!("WHICH={which}"));
        command
    };
    let expected = |which: &str| {
        let mut child = command(&format!("truth-{which}"), which, "0 s").spawn().unwrap();
        assert!(wait(&mut child, *PATIENCE).expect("it hangs").success(), "{}", place.said());
        essence(pipeline.format, place.rows(&format!("truth-{which}")))
    };
    let (first, second) = (expected("readings"), expected("others"));
    assert_ne!(first, second);
    let mut child = command("out", "readings", "20 ms").spawn().unwrap();
    if !until_another_checkpoint(place, &mut child) {
        // It was faster: there is no state to be mixed up.
        return;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(place.path("stderr.txt"), "").unwrap();
    let mut child = command("out", "others", "20 ms").spawn().unwrap();
    let status = wait(&mut child, *PATIENCE).expect("it hangs");
    let said = fs::read_to_string(place.path("stderr.txt")).unwrap();
    assert!(!status.success() && said.contains("a variable in it has another value now"), "{status}: {said}");
    // Nothing of the first one was touched.
    let mut child = command("out", "readings", "20 ms").spawn().unwrap();
    assert!(wait(&mut child, *PATIENCE).expect("it hangs").success(), "{}", place.said());
    let found = essence(pipeline.format, place.rows("out"));
    assert!(found == first, "{}", differences(&first, &found));
    // It has ended, so the second one has a beginning of its own.
    let mut child = command("out", "others", "20 ms").spawn().unwrap();
    assert!(wait(&mut child, *PATIENCE).expect("it hangs").success(), "{}", place.said());
    let found = essence(pipeline.format, place.rows("out"));
    let mut both: Vec<String> = first.into_iter().chain(second).collect();
    both.sort();
    assert!(found == both, "{}", differences(&both, &found));
}

/// Without checkpoints nobody finds the rows again, so their commit is tried again as well.
#[test]
fn a_result_without_checkpoints_that_cannot_be_shown_is_not_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = numbers(folder);
    let sql = fs::read_to_string(&script).unwrap();
    let plain: Vec<&str> = sql.lines().filter(|line| !line.contains("execution.checkpointing")).collect();
    assert_eq!(plain.len() + 2, sql.lines().count());
    fs::write(&script, plain.join("\n")).unwrap();
    let (mut child, mut stderr) = listen(&script);
    let begun = Instant::now();
    let part = loop {
        if let Some(part) = written(folder, true).pop() {
            break part;
        }
        assert!(begun.elapsed() < *PATIENCE, "nothing is written");
        std::thread::sleep(Duration::from_millis(5));
    };
    let hidden = part.file_name().unwrap().to_string_lossy().into_owned();
    let name = hidden.trim_start_matches('.').trim_end_matches(".inprogress");
    let obstacle = part.with_file_name(&name[..name.len() - 37]);
    fs::create_dir_all(obstacle.join("in the way")).unwrap();
    hear(&mut stderr, "tries to commit its result again");
    fs::remove_dir_all(&obstacle).unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert!(wait(&mut child, *PATIENCE).is_some_and(|status| status.success()), "{rest}");
    assert_eq!(seen(folder), (0..2000).collect::<Vec<_>>());
    assert_eq!(written(folder, true), Vec::<PathBuf>::new());
}
