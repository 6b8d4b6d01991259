//! What a cell shows: messages for the notebook, on their way to the socket.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jupyter_protocol::{
    ClearOutput, DisplayData, ErrorOutput, ExecuteInput, ExecutionCount, JupyterMessage,
    JupyterMessageContent, Media, MediaType, Status, StreamContent, Transient, UpdateDisplayData,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::html;

/// Warnings that a cell shows.
const WARNINGS: usize = 20;

/// Messages that may wait before live results skip a repaint.
const CONGESTED: usize = 16;

/// The way to all notebooks that listen.
#[derive(Debug, Clone)]
pub struct Publisher {
    messages: UnboundedSender<JupyterMessage>,
    waiting: Arc<AtomicUsize>,
}

/// The other end of a [`Publisher`].
#[derive(Debug)]
pub struct Published {
    messages: UnboundedReceiver<JupyterMessage>,
    waiting: Arc<AtomicUsize>,
}

/// Both ends.
pub fn channel() -> (Publisher, Published) {
    let (sender, receiver) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Publisher { messages: sender, waiting: waiting.clone() }, Published { messages: receiver, waiting })
}

impl Published {
    /// The next message; `None` when no more can come.
    pub async fn next(&mut self) -> Option<JupyterMessage> {
        let message = self.messages.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }

    /// A message that is there already.
    #[cfg(test)]
    pub fn try_next(&mut self) -> Option<JupyterMessage> {
        let message = self.messages.try_recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }
}

impl Publisher {
    /// Sends a message that belongs to a request.
    pub fn send(&self, content: impl Into<JupyterMessageContent>, parent: &JupyterMessage) {
        let message = JupyterMessage::new(content, Some(parent));
        // The first frame is the topic that subscribers filter by.
        let topic = message.message_type().as_bytes().to_vec();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // At the end of the process no one listens any more.
        let _ = self.messages.send(message.with_zmq_identities(vec![topic.into()]));
    }

    /// Whether so much waits that a repaint is better left out.
    pub fn is_congested(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > CONGESTED
    }
}

/// One thing in the forms in which it can be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// For readers without HTML.
    pub text: String,
    /// HTML.
    pub html: Option<String>,
    /// A Vega-Lite specification.
    pub chart: Option<Value>,
}

impl Picture {
    /// Text alone.
    pub fn text(text: String) -> Self {
        Self { text, html: None, chart: None }
    }

    /// Text and HTML.
    pub fn html(text: String, html: String) -> Self {
        Self { text, html: Some(html), chart: None }
    }

    fn media(self) -> Media {
        let mut content = vec![MediaType::Plain(self.text)];
        content.extend(self.html.map(MediaType::Html));
        content.extend(self.chart.map(MediaType::VegaLiteV5));
        Media::new(content)
    }
}

/// Where the output of one cell goes, also after the cell has ended.
#[derive(Debug, Clone)]
pub struct CellOutput {
    publisher: Publisher,
    parent: Arc<JupyterMessage>,
    silent: bool,
    /// Warnings that were shown.
    warned: Arc<Mutex<HashSet<String>>>,
}

impl CellOutput {
    /// Of the cell that a request runs; a silent one shows nothing.
    pub fn new(publisher: Publisher, parent: Arc<JupyterMessage>, silent: bool) -> Self {
        Self { publisher, parent, silent, warned: Arc::default() }
    }

    fn send(&self, content: impl Into<JupyterMessageContent>) {
        if !self.silent {
            self.publisher.send(content, &self.parent);
        }
    }

    /// Tells that the cell is being run, or that it has ended; never silent.
    pub fn status(&self, status: Status) {
        self.publisher.send(status, &self.parent);
    }

    /// Repeats to all notebooks what is run.
    pub fn input(&self, code: String, count: usize) {
        self.send(ExecuteInput { code, execution_count: ExecutionCount::new(count) });
    }

    /// A line of text.
    pub fn line(&self, text: &str) {
        self.send(StreamContent::stdout(&format!("{text}\n")));
    }

    /// Text as it is.
    pub fn print(&self, text: &str) {
        self.send(StreamContent::stdout(text));
    }

    /// A warning, once a cell. It is no error: what goes to standard error is shown in red.
    pub fn warning(&self, text: &str) {
        let mut warned = self.warned.lock();
        match warned.len() {
            n if n > WARNINGS => return,
            n if n == WARNINGS => {
                warned.insert(String::new());
                drop(warned);
                let more = "more warnings are left out; the log of the kernel has them";
                return self.show(Picture::html(more.to_string(), html::warning(more)));
            }
            _ if !warned.insert(text.to_string()) => return,
            _ => drop(warned),
        }
        self.show(Picture::html(text.to_string(), html::warning(text)));
    }

    /// Shows something.
    pub fn show(&self, picture: Picture) {
        self.send(DisplayData::new(picture.media()));
    }

    /// Shows something that [`CellOutput::replace`] will replace.
    pub fn show_as(&self, id: &str, picture: Picture) {
        let mut display = DisplayData::new(picture.media());
        display.transient = Some(Transient { display_id: Some(id.to_string()) });
        self.send(display);
    }

    /// Replaces what was shown under that id, wherever it is.
    pub fn replace(&self, id: &str, picture: Picture) {
        self.send(UpdateDisplayData::new(picture.media(), id));
    }

    /// Shows an error.
    pub fn error(&self, error: ErrorOutput) {
        self.send(error);
    }

    /// Clears what the cell has shown.
    pub fn clear(&self) {
        self.send(ClearOutput { wait: false });
    }

    /// Whether a repaint is better left out.
    pub fn is_congested(&self) -> bool {
        self.publisher.is_congested()
    }
}
