//! The protocol: five sockets, requests and their replies.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jupyter_protocol::{
    CodeMirrorMode, CommClose, CommInfoReply, CompleteReply, ConnectionInfo, ErrorOutput, ExecuteReply,
    ExecuteRequest, ExecutionCount, ExpressionResult, Header, HistoryReply, InspectReply, InterruptReply,
    IsCompleteReply, JupyterMessage, JupyterMessageContent as Content, KernelInfoReply, LanguageInfo, Media,
    MediaType, ReplyError, ReplyStatus, ShutdownReply, Status, UnknownMessage,
};
use jupyter_zmq_client::{
    RawMessage, RouterRecvConnection, RouterSendConnection, RuntimeError, create_kernel_control_connection,
    create_kernel_heartbeat_connection, create_kernel_iopub_connection, create_kernel_shell_connection,
    create_kernel_stdin_connection,
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::SocketRecv;

use super::assist;
use super::cell::{self, Cells, Outcome};
use super::output::{self, CellOutput, Published, Publisher};
use crate::console::interrupt::{Interrupts, Scope};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::sql::variables::Variables;

/// So long jobs may take to end when the kernel is shut down; Jupyter kills it after five seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// So long the last messages may take on their way.
const LINGER: Duration = Duration::from_millis(150);

/// How often the kernel looks whether the program that started it is still there.
const WATCH: Duration = Duration::from_secs(1);

/// After a message that cannot be read.
const PAUSE: Duration = Duration::from_millis(20);

/// What all parts of the kernel share.
struct Kernel {
    session: Arc<Session>,
    interrupts: Arc<Interrupts>,
    publisher: Publisher,
    /// The request of the cell that runs. What reports that the kernel is idle holds the lock.
    running: Mutex<Option<Arc<JupyterMessage>>>,
    /// Where the cell that was run last shows things.
    last: Mutex<Option<CellOutput>>,
    cells: crossbeam_channel::Sender<JupyterMessage>,
}

/// Serves the sockets of a connection file until the kernel is shut down.
pub fn run(connection_file: &Path, session: Session, variables: Variables) -> Result<()> {
    let info = connection(connection_file)?;
    let session = Arc::new(session);
    let interrupts = Interrupts::listen(session.clone(), Scope::Shell);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(info, session, interrupts, variables));
    runtime.shutdown_background();
    served
}

fn connection(path: &Path) -> Result<ConnectionInfo> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::option(format!("cannot read '{name}'")).with_detail(e.to_string()))?;
    let info: ConnectionInfo = serde_json::from_str(&text).map_err(|e| {
        Error::option(format!("'{name}' is no connection file of Jupyter")).with_detail(e.to_string())
    })?;
    if info.signature_scheme != "hmac-sha256" && !info.key.is_empty() {
        return Err(Error::unsupported(format!(
            "signature scheme '{}' is not supported",
            info.signature_scheme
        ))
        .with_hint("hmac-sha256 is what Jupyter uses"));
    }
    Ok(info)
}

async fn serve(
    info: ConnectionInfo,
    session: Arc<Session>,
    interrupts: Arc<Interrupts>,
    variables: Variables,
) -> Result<()> {
    let failed =
        |e: RuntimeError| Error::io("a socket of the kernel could not be opened").with_detail(e.to_string());
    let own = uuid::Uuid::new_v4().to_string();
    let shell = create_kernel_shell_connection(&info, &own).await.map_err(failed)?;
    let control = create_kernel_control_connection(&info, &own).await.map_err(failed)?;
    // Nothing asks for input, but clients connect to it.
    let _stdin = create_kernel_stdin_connection(&info, &own).await.map_err(failed)?;
    let mut heartbeat = create_kernel_heartbeat_connection(&info).await.map_err(failed)?;
    let mut iopub = create_kernel_iopub_connection(&info, &own).await.map_err(failed)?;

    let (publisher, mut published): (Publisher, Published) = output::channel();
    tokio::spawn(async move {
        while let Some(message) = published.next().await {
            if let Err(e) = iopub.send(message).await {
                log::warn!("a message to the notebook was lost: {e}");
            }
        }
    });
    tokio::spawn(async move {
        loop {
            if heartbeat.single_heartbeat().await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    });

    let (cells, requests) = crossbeam_channel::unbounded();
    let kernel = Arc::new(Kernel {
        session,
        interrupts,
        publisher,
        running: Mutex::default(),
        last: Mutex::default(),
        cells,
    });
    let shown = kernel.clone();
    super::stdout::capture(Arc::new(move |text: &str| {
        if let Some(cell) = &*shown.last.lock() {
            cell.print(text);
        }
    }))?;
    let warned = kernel.clone();
    crate::console::logger::listen(Box::new(move |text: &str| {
        if let Some(cell) = &*warned.last.lock() {
            cell.warning(text);
        }
    }));
    let (shell_out, shell_in) = shell.split();
    let (control_out, control_in) = control.split();
    let shell_out = replies(shell_out);
    let control_out = replies(control_out);

    let runner = Runner {
        cells: Cells::new(kernel.session.clone(), variables, kernel.interrupts.clone()),
        kernel: kernel.clone(),
        replies: shell_out.clone(),
        count: 0,
    };
    std::thread::Builder::new().name("affluent-cells".into()).spawn(move || runner.run(&requests))?;

    let (end, mut ended) = unbounded_channel::<()>();
    tokio::spawn(requests_of(kernel.clone(), shell_in, shell_out, end.clone()));
    tokio::spawn(requests_of(kernel.clone(), control_in, control_out, end.clone()));
    tokio::spawn(watch_parent(kernel.clone(), end));
    ended.recv().await;
    tokio::time::sleep(LINGER).await;
    Ok(())
}

/// A way to a socket that replies are written to one after the other.
fn replies(mut socket: RouterSendConnection) -> UnboundedSender<JupyterMessage> {
    let (sender, mut receiver): (_, UnboundedReceiver<JupyterMessage>) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            // The notebook that asked may be gone.
            if let Err(e) = socket.send(message).await {
                log::debug!("a reply was lost: {e}");
            }
        }
    });
    sender
}

/// Ends the kernel when the program that started it is gone, as Jupyter asks for by this variable.
async fn watch_parent(kernel: Arc<Kernel>, end: UnboundedSender<()>) {
    if std::env::var_os("JPY_PARENT_PID").is_none() {
        return;
    }
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(WATCH).await;
    }
    kernel.stop_jobs().await;
    let _ = end.send(());
}

/// Answers the requests of one socket.
async fn requests_of(
    kernel: Arc<Kernel>,
    mut socket: RouterRecvConnection,
    replies: UnboundedSender<JupyterMessage>,
    end: UnboundedSender<()>,
) {
    loop {
        let message = match read(&mut socket).await {
            Ok(message) => message,
            Err(e) => {
                // Not signed with our key, or without a header: there is no one to answer.
                log::warn!("a message was not understood: {e}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match &message.content {
            // The thread that runs cells lives as long as the process.
            Content::ExecuteRequest(_) => drop(kernel.cells.send(message)),
            Content::ShutdownRequest(request) => {
                let restart = request.restart;
                kernel.publisher.send(Status::busy(), &message);
                kernel.stop_jobs().await;
                let reply = ShutdownReply { restart, status: ReplyStatus::Ok, error: None };
                kernel.publisher.send(reply.clone(), &message);
                let _ = replies.send(reply.as_child_of(&message));
                kernel.publisher.send(Status::idle(), &message);
                let _ = end.send(());
                return;
            }
            _ => kernel.answer(&message, &replies),
        }
    }
}

/// The next request.
async fn read(socket: &mut RouterRecvConnection) -> Result<JupyterMessage, RuntimeError> {
    understood(RawMessage::from_multipart(socket.socket.recv().await?, &socket.mac)?)
}

/// A request whose content may be any: what is not as it should be becomes an unknown message, which is
/// answered with an error. Who asks must not wait for ever.
fn understood(raw: RawMessage) -> Result<JupyterMessage, RuntimeError> {
    let part = |i: usize| raw.jparts.get(i).map_or(&[][..], |part| part);
    let header: Header = serde_json::from_slice(part(0))?;
    let content: serde_json::Value = serde_json::from_slice(part(3))?;
    let kind = header.msg_type.clone();
    let content = Content::from_type_and_content(&kind, content.clone())
        .unwrap_or(Content::UnknownMessage(UnknownMessage { msg_type: kind, content }));
    Ok(JupyterMessage {
        parent_header: serde_json::from_slice(part(1)).ok(),
        metadata: serde_json::from_slice(part(2)).unwrap_or_default(),
        zmq_identities: raw.zmq_identities,
        header,
        content,
        buffers: Vec::new(),
        channel: None,
    })
}

/// The answer to a request that is not supported or cannot be read; none to what is no request.
fn refusal(kind: &str) -> Option<Content> {
    let name = kind.strip_suffix("_request")?;
    // Clients ask for it with fields missing, and want a list.
    if name == "history" {
        return Some(HistoryReply::new(Vec::new()).into());
    }
    let content = json!({
        "status": "error",
        "ename": "UnsupportedError",
        "evalue": format!("this {kind} cannot be answered: it is unknown or incomplete"),
        "traceback": [],
    });
    Some(Content::UnknownMessage(UnknownMessage { msg_type: format!("{name}_reply"), content }))
}

impl Kernel {
    /// Answers a request that is no cell.
    fn answer(&self, message: &JupyterMessage, replies: &UnboundedSender<JupyterMessage>) {
        self.publisher.send(Status::busy(), message);
        if let Some(reply) = self.reply(message) {
            // The answer has an error in it when it cannot be read any more.
            let _ = replies.send(JupyterMessage::new(reply, Some(message)));
        }
        let running = self.running.lock();
        self.publisher.send(Status::idle(), message);
        // The notebook shows the last state it got: it is that of the cell.
        if let Some(cell) = &*running {
            self.publisher.send(Status::busy(), cell);
        }
    }

    fn reply(&self, message: &JupyterMessage) -> Option<Content> {
        Some(match &message.content {
            Content::KernelInfoRequest(_) => Content::KernelInfoReply(Box::new(kernel_info())),
            Content::InterruptRequest(_) => {
                self.interrupts.clone().interrupted();
                InterruptReply::default().into()
            }
            Content::CompleteRequest(request) => {
                let found = assist::complete(&request.code, request.cursor_pos, &*self.session);
                let reply = CompleteReply {
                    matches: found.matches,
                    cursor_start: found.start,
                    cursor_end: found.end,
                    metadata: Default::default(),
                    status: ReplyStatus::Ok,
                    error: None,
                };
                reply.into()
            }
            Content::InspectRequest(request) => {
                let found = assist::inspect(&request.code, request.cursor_pos, &self.session);
                let reply = InspectReply {
                    found: found.is_some(),
                    data: Media::new(found.map_or_else(Vec::new, |(text, html)| {
                        let mut media = vec![MediaType::Plain(text)];
                        media.extend(html.map(MediaType::Html));
                        media
                    })),
                    metadata: Default::default(),
                    status: ReplyStatus::Ok,
                    error: None,
                };
                reply.into()
            }
            Content::IsCompleteRequest(request) => match assist::is_complete(&request.code) {
                true => IsCompleteReply::complete().into(),
                false => IsCompleteReply::incomplete("  ".into()).into(),
            },
            Content::CommInfoRequest(_) => {
                CommInfoReply { status: ReplyStatus::Ok, comms: HashMap::new(), error: None }.into()
            }
            Content::CommOpen(open) => {
                // There are no widgets here.
                let close = CommClose { comm_id: open.comm_id.clone(), data: Default::default() };
                self.publisher.send(close, message);
                return None;
            }
            other => return refusal(other.message_type()),
        })
    }

    /// Cancels all jobs and waits for their ends, but not for ever.
    async fn stop_jobs(self: &Arc<Self>) {
        let kernel = self.clone();
        let stopped = tokio::task::spawn_blocking(move || {
            kernel.interrupts.clone().interrupted();
            let jobs = kernel.session.jobs();
            jobs.iter().for_each(|job| job.cancel());
            let deadline = Instant::now() + PATIENCE;
            for job in jobs {
                let _ = job.wait_for(deadline.saturating_duration_since(Instant::now()));
            }
        });
        let _ = stopped.await;
    }
}

fn kernel_info() -> KernelInfoReply {
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: "5.3".into(),
        implementation: "affluent".into(),
        implementation_version: env!("CARGO_PKG_VERSION").into(),
        language_info: LanguageInfo {
            name: "sql".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            mimetype: Some("text/x-sql".into()),
            file_extension: Some(".sql".into()),
            pygments_lexer: Some("sql".into()),
            codemirror_mode: Some(CodeMirrorMode::Simple("sql".into())),
            nbconvert_exporter: None,
        },
        banner: format!(
            "Affluent {}: SQL over streams. HELP; shows what there is.",
            env!("CARGO_PKG_VERSION")
        ),
        help_links: Vec::new(),
        debugger: false,
        error: None,
    }
}

/// Runs the cells, one after the other.
struct Runner {
    cells: Cells,
    kernel: Arc<Kernel>,
    replies: UnboundedSender<JupyterMessage>,
    count: usize,
}

impl Runner {
    fn run(mut self, requests: &crossbeam_channel::Receiver<JupyterMessage>) {
        while let Ok(message) = requests.recv() {
            let message = Arc::new(message);
            let Content::ExecuteRequest(request) = &message.content else { continue };
            self.cell(&message, request, requests);
        }
    }

    /// Runs a cell.
    fn cell(
        &mut self,
        message: &Arc<JupyterMessage>,
        request: &ExecuteRequest,
        requests: &crossbeam_channel::Receiver<JupyterMessage>,
    ) {
        if request.store_history && !request.silent {
            self.count += 1;
        }
        let output = CellOutput::new(self.kernel.publisher.clone(), message.clone(), request.silent);
        {
            let mut running = self.kernel.running.lock();
            output.status(Status::busy());
            *running = Some(message.clone());
            *self.kernel.last.lock() = Some(output.clone());
        }
        output.input(request.code.clone(), self.count);
        let name = format!("In [{}]", self.count);
        let run = std::panic::AssertUnwindSafe(|| self.cells.run(&name, &request.code, &output));
        let outcome = std::panic::catch_unwind(run)
            .unwrap_or_else(|_| Outcome::Failed(cell::internal("the statement panicked")));
        let error = match outcome {
            Outcome::Done => None,
            Outcome::Failed(error) => Some(error),
        };
        let mut reply = ExecuteReply {
            status: if error.is_some() { ReplyStatus::Error } else { ReplyStatus::Ok },
            execution_count: ExecutionCount::new(self.count),
            payload: Vec::new(),
            user_expressions: Some(expressions(request)),
            error: None,
        };
        // What was asked for before the user knew is not run: after an error as the notebook wishes it, and
        // after an interruption, which is meant for all of it. What comes after the reply is run.
        let abort = (error.is_some() && request.stop_on_error) || self.cells.was_interrupted();
        let aborted: Vec<JupyterMessage> = if abort { requests.try_iter().collect() } else { Vec::new() };
        if let Some(error) = error {
            let ErrorOutput { ename, evalue, traceback } = error.clone();
            reply.error = Some(Box::new(ReplyError { ename, evalue, traceback }));
            output.error(error);
        }
        let _ = self.replies.send(reply.as_child_of(message));
        {
            let mut running = self.kernel.running.lock();
            *running = None;
            output.status(Status::idle());
        }
        aborted.iter().for_each(|message| self.abort(message));
    }

    fn abort(&self, message: &JupyterMessage) {
        self.kernel.publisher.send(Status::busy(), message);
        let reply = ExecuteReply {
            status: ReplyStatus::Aborted,
            execution_count: ExecutionCount::new(self.count),
            user_expressions: Some(HashMap::new()),
            ..ExecuteReply::default()
        };
        let _ = self.replies.send(reply.as_child_of(message));
        self.kernel.publisher.send(Status::idle(), message);
    }
}

/// SQL has no expressions outside of statements.
fn expressions(request: &ExecuteRequest) -> HashMap<String, ExpressionResult> {
    let names = request.user_expressions.iter().flatten().map(|(name, _)| name.clone());
    let refused = || ExpressionResult::Error {
        ename: "UnsupportedError".into(),
        evalue: "there are no expressions outside of statements".into(),
        traceback: Vec::new(),
    };
    names.map(|name| (name, refused())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn raw(kind: &str, content: &str) -> RawMessage {
        let header = format!(
            r#"{{"msg_id":"1","username":"u","session":"s","date":"2026-01-01T00:00:00Z","msg_type":"{kind}","version":"5.3"}}"#
        );
        let parts = [header.as_str(), "{}", "{}", content];
        RawMessage {
            zmq_identities: vec![b"peer".to_vec().into()],
            jparts: parts.iter().map(|p| p.as_bytes().to_vec().into()).collect(),
        }
    }

    #[test]
    fn requests_that_lack_something_are_answered() {
        let message = understood(raw("execute_request", r#"{"code":"SELECT 1"}"#)).unwrap();
        assert!(matches!(message.content, Content::UnknownMessage(_)));
        let Some(Content::UnknownMessage(reply)) = refusal(message.content.message_type()) else { panic!() };
        assert_eq!((reply.msg_type.as_str(), &reply.content["status"]), ("execute_reply", &json!("error")));
        let message = understood(raw("history_request", r#"{"hist_access_type":"range"}"#)).unwrap();
        assert!(matches!(refusal(message.content.message_type()), Some(Content::HistoryReply(_))));
        assert!(refusal("comm_msg").is_none());
        let whole = r#"{"code":"1","silent":false,"store_history":true,"user_expressions":{}}"#;
        let message = understood(raw("execute_request", whole)).unwrap();
        assert!(matches!(message.content, Content::ExecuteRequest(_)));
        assert_eq!(message.zmq_identities.len(), 1);
        assert!(understood(raw("x", "{")).is_err());
    }

    #[test]
    fn the_connection_file_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.json");
        assert!(connection(&path).unwrap_err().to_string().starts_with("cannot read"));
        std::fs::write(&path, "{}").unwrap();
        assert!(connection(&path).unwrap_err().to_string().contains("no connection file"));
        let info = |scheme: &str| {
            format!(
                r#"{{"ip":"127.0.0.1","transport":"tcp","shell_port":1,"iopub_port":2,"stdin_port":3,"control_port":4,"hb_port":5,"key":"k","signature_scheme":"{scheme}"}}"#
            )
        };
        std::fs::write(&path, info("hmac-md5")).unwrap();
        assert!(connection(&path).unwrap_err().to_string().contains("'hmac-md5' is not supported"));
        std::fs::write(&path, info("hmac-sha256")).unwrap();
        assert_eq!(connection(&path).unwrap().hb_port, 5);
    }
}
