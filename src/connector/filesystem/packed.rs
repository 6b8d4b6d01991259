//! Files that are packed as a whole, by the end of their names: they are read from their start, by one task.

use std::io::{self, BufRead, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    #[cfg(feature = "packed")]
    Zstd,
    /// With frames, as `lz4` writes it.
    #[cfg(feature = "packed")]
    Lz4,
    /// With frames.
    #[cfg(feature = "packed")]
    Snappy,
}

/// Ends of names, without the dot.
const ENDINGS: &[(&str, Compression)] = &[
    ("gz", Compression::Gzip),
    ("gzip", Compression::Gzip),
    #[cfg(feature = "packed")]
    ("zst", Compression::Zstd),
    #[cfg(feature = "packed")]
    ("zstd", Compression::Zstd),
    #[cfg(feature = "packed")]
    ("lz4", Compression::Lz4),
    #[cfg(feature = "packed")]
    ("sz", Compression::Snappy),
    #[cfg(feature = "packed")]
    ("snappy", Compression::Snappy),
];

/// Those that are refused rather than read as they are.
const OTHERS: &[&str] = &["zst", "zstd", "lz4", "sz", "snappy", "bz2", "xz", "deflate", "zip", "7z", "br"];

impl Compression {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            #[cfg(feature = "packed")]
            Self::Zstd => "zstd",
            #[cfg(feature = "packed")]
            Self::Lz4 => "lz4",
            #[cfg(feature = "packed")]
            Self::Snappy => "snappy",
        }
    }

    /// The bytes that are packed.
    pub(super) fn unpacked(self, bytes: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(bytes),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            #[cfg(feature = "packed")]
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?),
            #[cfg(feature = "packed")]
            Self::Lz4 => Box::new(Lz4Frames { frames: Some(lz4_flex::frame::FrameDecoder::new(bytes)) }),
            #[cfg(feature = "packed")]
            Self::Snappy => Box::new(snap::read::FrameDecoder::new(bytes)),
        })
    }
}

/// One frame after the other: files may be appended to each other.
#[cfg(feature = "packed")]
struct Lz4Frames<R: BufRead> {
    frames: Option<lz4_flex::frame::FrameDecoder<R>>,
}

#[cfg(feature = "packed")]
impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = &mut self.frames else { return Ok(0) };
            let n = frame.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(frame) = self.frames.take() else { return Ok(0) };
            let mut rest = frame.into_inner();
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frames = Some(lz4_flex::frame::FrameDecoder::new(rest));
        }
    }
}

/// The name without the end that says how the file is packed.
pub(in crate::connector) fn stem(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, end)) if ENDINGS.iter().any(|(e, _)| e.eq_ignore_ascii_case(end)) => stem,
        _ => path,
    }
}

pub(super) fn compression(path: &Path) -> Result<Compression> {
    let suffix = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if let Some((_, compression)) = ENDINGS.iter().find(|(end, _)| *end == suffix) {
        return Ok(*compression);
    }
    if !OTHERS.contains(&suffix.as_str()) {
        return Ok(Compression::None);
    }
    let hint = match suffix.as_str() {
        "zst" | "zstd" | "lz4" | "sz" | "snappy" => {
            "build it with `cargo build --release --features packed`; `full` has everything"
        }
        _ => {
            "gzip (.gz), zstd (.zst), lz4 (.lz4) and snappy (.sz) are; unpack the file, or pipe it in: bzcat FILE | affluent run ... with 'connector' = 'stdin'"
        }
    };
    Err(Error::unsupported(format!("file {}: compression '{suffix}' is not supported", path.display()))
        .with_hint(hint))
}

#[cfg(all(test, feature = "packed"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    fn read(compression: Compression, bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        compression.unpacked(io::Cursor::new(bytes))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn several_frames_are_one_file_and_a_cut_one_is_an_error() {
        let text = "a line of text\n".repeat(1_000);
        let zstd = zstd::stream::encode_all(text.as_bytes(), 3).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(text.as_bytes()).unwrap();
        let lz4 = lz4.finish().unwrap();
        let mut snappy = snap::write::FrameEncoder::new(Vec::new());
        snappy.write_all(text.as_bytes()).unwrap();
        let snappy = snappy.into_inner().unwrap();
        for (compression, packed) in
            [(Compression::Zstd, zstd), (Compression::Lz4, lz4), (Compression::Snappy, snappy)]
        {
            let twice = [packed.clone(), packed.clone()].concat();
            assert_eq!(read(compression, twice).unwrap(), text.repeat(2), "{compression:?}");
            assert!(read(compression, packed[..packed.len() - 5].to_vec()).is_err(), "{compression:?}");
            assert!(read(compression, b"no such data".to_vec()).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn ends_of_names() {
        assert_eq!(stem("a/b.jsonl.ZST"), "a/b.jsonl");
        assert_eq!(stem("a/b.jsonl"), "a/b.jsonl");
        assert_eq!(compression(Path::new("x.csv.lz4")).unwrap(), Compression::Lz4);
        let e = compression(Path::new("x.bz2")).unwrap_err();
        assert_eq!(e.message(), "file x.bz2: compression 'bz2' is not supported");
    }
}
