//! The clock of a test: what may happen now, what happens while time passes, checkpoints, a KILL, and the end.

use super::*;

impl Run<'_> {
    pub(super) fn now(&mut self) -> i64 {
        if let Some(process) = &self.process
            && let Ok(runtime) = process.session.runtime()
        {
            let _entered = runtime.enter();
            self.now_millis = process.clock.now_millis();
        }
        self.now_millis
    }

    /// A test that takes too long.
    pub(super) fn in_time(&self) -> Result<(), Problem> {
        if self.begun.elapsed() <= self.timeout {
            return Ok(());
        }
        Err(Problem {
            line: self.setup.test.name.span.start.line,
            title: format!("the test does not end within {} s", self.timeout.as_secs_f64()),
            lines: vec!["TEST '...' WITH ('timeout' = '2 min'); gives it longer".to_string()],
        })
    }

    /// Lets everything happen that needs no time.
    pub(super) fn settle(&mut self) -> Result<(), Problem> {
        loop {
            self.in_time()?;
            let Some(process) = &mut self.process else { return Ok(()) };
            let Ok(runtime) = process.session.runtime() else { return Ok(()) };
            let handle = runtime.handle().clone();
            let mut worked = false;
            {
                let _entered = handle.enter();
                process.bell.take();
                for job in &mut process.jobs {
                    let Some(run) = &mut job.run else { continue };
                    let mut stepped = Ok(());
                    'tasks: for task in 0..run.tasks() {
                        for _ in 0..256 {
                            match run.step(task) {
                                Ok(true) => worked = true,
                                Ok(false) => break,
                                Err(e) => {
                                    stepped = Err(e);
                                    break 'tasks;
                                }
                            }
                        }
                    }
                    if let Err(e) = stepped {
                        job.failed = Some(e);
                        job.run = None;
                        worked = true;
                    }
                }
            }
            let (bell, gate) = (process.bell.clone(), process.gate.clone());
            runtime.block_on(async {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
            });
            if worked || bell.take() {
                bell.take();
                continue;
            }
            if !gate.is_busy() {
                return Ok(());
            }
            runtime.block_on(async {
                let tick = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(20)));
                tokio::select! {
                    () = bell.rings() => {}
                    () = gate.idle() => {}
                    _ = tick => {}
                }
            });
        }
    }

    /// Lets time pass, up to so long, or until `done`.
    pub(super) fn pass(&mut self, by: Duration, done: impl Fn(&Process) -> bool) -> Result<bool, Problem> {
        let target = {
            let Some(process) = &self.process else { return Ok(true) };
            let Ok(runtime) = process.session.runtime() else { return Ok(true) };
            let _entered = runtime.enter();
            tokio::time::Instant::now() + by
        };
        loop {
            self.settle()?;
            self.now();
            let Some(process) = &self.process else { return Ok(true) };
            let Ok(runtime) = process.session.runtime() else { return Ok(true) };
            if done(process) {
                return Ok(true);
            }
            let _entered = runtime.enter();
            let now = tokio::time::Instant::now();
            if now >= target {
                return Ok(false);
            }
            let due = process.jobs.iter().filter_map(|job| job.run.as_ref()?.due()).min();
            let due = due.map(tokio::time::Instant::from_std);
            let next = due.map_or(target, |due| due.max(now + Duration::from_millis(1)).min(target));
            let bell = process.bell.clone();
            drop(_entered);
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = bell.rings() => {}
                    () = tokio::time::sleep_until(next) => {}
                }
            });
        }
    }

    pub(super) fn advance(&mut self, by: Duration) -> Result<(), Problem> {
        self.pass(by, |_| false)?;
        self.settle()
    }

    /// The input ends, and everything runs to its end.
    pub(super) fn end(&mut self, span: Span) -> Result<(), Problem> {
        self.ended = true;
        self.stage.feeds().iter().for_each(|(_, feed)| feed.end());
        let over = |process: &Process| {
            process.jobs.iter().all(|job| job.run.as_ref().is_none_or(Incarnation::ended))
        };
        if self.pass(LAST_WAIT, over)? {
            return Ok(());
        }
        let waiting = self.process.iter().flat_map(|process| &process.jobs);
        let waiting = waiting.filter(|job| job.run.as_ref().is_some_and(|run| !run.ended()));
        let stands = |job: &JobRun| job.run.as_ref().map(Incarnation::describe).unwrap_or_default();
        let lines = waiting.map(|job| format!("job {}: {}", job.name, stands(job))).collect();
        Err(Problem {
            line: span.start.line,
            title: "the input has ended, and the pipeline does not end within a day of the test's clock"
                .into(),
            lines,
        })
    }

    pub(super) fn checkpoint(&mut self, span: Span) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        let jobs = self.process.as_ref().map_or(0, |process| process.jobs.len());
        for index in 0..jobs {
            let epoch = self.memoirs[index].epoch + 1;
            self.memoirs[index].epoch = epoch;
            if let Some(process) = &mut self.process
                && let Some(run) = &mut process.jobs[index].run
                && !run.ended()
            {
                run.announce(Barrier { epoch, last: false });
            }
        }
        self.settle()?;
        for index in 0..jobs {
            let Some(process) = &mut self.process else { continue };
            let job = &mut process.jobs[index];
            let Some(run) = &mut job.run else { continue };
            let memoir = &mut self.memoirs[index];
            let ended = run.ended();
            let cut = run.complete(memoir.epoch, ended).ok_or_else(|| {
                wrong(Error::execution(format!("the checkpoint of job {} does not complete", job.name)))
            })?;
            let pending = Durable { epoch: cut.epoch, sinks: cut.sinks.clone() };
            memoir.checkpoints.write(&run.plan, cut).map_err(wrong)?;
            commit(job.outputs.iter().map(|o| (&o.id, &o.sink)), &pending).map_err(wrong)?;
        }
        self.stage.mark();
        Ok(())
    }

    /// The process is gone; another one goes on from the last checkpoint.
    pub(super) fn kill(&mut self) -> Result<(), Problem> {
        self.now();
        self.process = None;
        self.stage.cut();
        for (index, memoir) in self.memoirs.iter_mut().enumerate() {
            let store = self.store.under(&format!("job-{index}"));
            let found = Checkpoints::open(store, 1).and_then(|checkpoints| {
                let (latest, _) = checkpoints.latest()?;
                Ok((checkpoints, latest))
            });
            let (checkpoints, latest) =
                found.map_err(|e| Self::wrong(self.setup, &e, self.setup.test.name.span))?;
            memoir.epoch = memoir.epoch.max(latest.as_ref().map_or(0, Checkpoint::epoch));
            (memoir.checkpoints, memoir.last) = (checkpoints, latest);
        }
        self.start()?;
        self.settle()
    }
}
