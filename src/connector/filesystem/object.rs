//! Objects of a store in the network as files: found, opened, read from anywhere.
//!
//! An object is complete when it is listed, and never changes: another one of its name is another file. Reading asks
//! for the version that was listed.

#[cfg(feature = "s3")]
pub(super) use present::{Object, ObjectHandle};

#[cfg(all(feature = "s3", feature = "parquet"))]
pub(super) use present::random::Parts;

#[cfg(not(feature = "s3"))]
pub(super) use absent::{Object, ObjectHandle};

#[cfg(feature = "s3")]
mod present {
    use std::io::{self, Read, Seek, SeekFrom};
    use std::path::PathBuf;
    use std::sync::Arc;

    use bytes::Bytes;

    use crate::bucket::{Answer, Bucket, Found};

    /// Bytes of one request of a file that is read from its start on.
    const PART: u64 = 4 << 20;

    /// The same behind the range that is read, where only the rest of a line is wanted.
    const BEHIND: u64 = 1 << 20;

    /// An object that was listed.
    #[derive(Debug, Clone)]
    pub(in crate::connector::filesystem) struct Object {
        pub(in crate::connector::filesystem) bucket: Arc<Bucket>,
        pub(in crate::connector::filesystem) found: Found,
    }

    impl PartialEq for Object {
        fn eq(&self, other: &Self) -> bool {
            self.bucket.root() == other.bucket.root() && self.found == other.found
        }
    }

    impl Object {
        /// Its URL, without what may be a signature.
        pub(in crate::connector::filesystem) fn path(&self) -> PathBuf {
            PathBuf::from(self.bucket.shown(&self.found.key))
        }

        /// Tells it from other objects, and from other versions of it.
        pub(in crate::connector::filesystem) fn identity(&self) -> u64 {
            use std::hash::BuildHasher;
            let Found { key, size, modified_millis, version } = &self.found;
            // Where there is a version, the time adds nothing: it is another one in a copy of a bucket.
            let time = if version.is_some() { 0 } else { *modified_millis };
            let all = (self.bucket.root(), key, size, time, version);
            foldhash::quality::FixedState::default().hash_one(all).max(1)
        }

        pub(in crate::connector::filesystem) fn open(&self) -> ObjectHandle {
            ObjectHandle {
                object: self.clone(),
                position: 0,
                until: u64::MAX,
                part: Bytes::new(),
                next: None,
            }
        }

        fn ask(&self, start: u64, end: u64) -> io::Result<Answer<Bytes>> {
            self.bucket.read(&self.found, start..end).map_err(io::Error::other)
        }

        fn got(&self, answer: Answer<Bytes>, length: u64) -> io::Result<Bytes> {
            let answered = answer.wait().map_err(io::Error::other)?;
            let bytes = answered.map_err(|e| {
                io::Error::other(self.bucket.failed("read", &self.found.key, &e).message().to_string())
            })?;
            match bytes.len() as u64 == length {
                true => Ok(bytes),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }

        /// A range of it.
        pub(in crate::connector::filesystem) fn range(&self, start: u64, end: u64) -> io::Result<Bytes> {
            if start >= end {
                return Ok(Bytes::new());
            }
            self.got(self.ask(start, end)?, end - start)
        }

        /// Several ranges, asked for together.
        #[cfg(feature = "parquet")]
        pub(in crate::connector::filesystem) fn ranges(
            &self,
            ranges: &[(u64, u64)],
        ) -> io::Result<Vec<Bytes>> {
            let mut all = Vec::with_capacity(ranges.len());
            for some in ranges.chunks(8) {
                let asked: Vec<_> =
                    some.iter().map(|(start, end)| self.ask(*start, *end)).collect::<io::Result<_>>()?;
                for ((start, end), answer) in some.iter().zip(asked) {
                    all.push(self.got(answer, end - start)?);
                }
            }
            Ok(all)
        }
    }

    /// Reads an object from its start on; the next part is on its way.
    pub(in crate::connector::filesystem) struct ObjectHandle {
        object: Object,
        position: u64,
        /// What is wanted ends here, but for the rest of a line.
        until: u64,
        /// Bytes from the position on.
        part: Bytes,
        /// Where it begins, where it ends, and the answer.
        next: Option<(u64, u64, Answer<Bytes>)>,
    }

    impl ObjectHandle {
        /// Little is wanted behind this offset.
        pub(in crate::connector::filesystem) fn ends_at(&mut self, until: u64) {
            self.until = until;
        }

        /// The end of the part that begins here.
        fn part_end(&self, at: u64) -> u64 {
            let end = match at < self.until {
                true => at.saturating_add(PART).min(self.until),
                false => at.saturating_add(BEHIND),
            };
            end.min(self.object.found.size)
        }
    }

    impl Read for ObjectHandle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.object.found.size;
            if self.part.is_empty() {
                if self.position >= size || buffer.is_empty() {
                    return Ok(0);
                }
                let at = self.position;
                let (end, answer) = match self.next.take().filter(|(start, ..)| *start == at) {
                    Some((_, end, answer)) => (end, answer),
                    None => {
                        let end = self.part_end(at);
                        (end, self.object.ask(at, end)?)
                    }
                };
                self.part = self.object.got(answer, end - at)?;
                if end < size && end < self.until {
                    let then = self.part_end(end);
                    self.next = Some((end, then, self.object.ask(end, then)?));
                }
            }
            let n = buffer.len().min(self.part.len());
            buffer[..n].copy_from_slice(&self.part.split_to(n));
            self.position += n as u64;
            Ok(n)
        }
    }

    impl Seek for ObjectHandle {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            let position = match to {
                SeekFrom::Start(at) => Some(at),
                SeekFrom::Current(by) => self.position.checked_add_signed(by),
                SeekFrom::End(by) => self.object.found.size.checked_add_signed(by),
            };
            let position = position.ok_or(io::ErrorKind::InvalidInput)?;
            if position != self.position {
                self.part = Bytes::new();
                self.position = position;
            }
            Ok(position)
        }
    }

    #[cfg(feature = "parquet")]
    pub(in crate::connector::filesystem) mod random {
        use std::io;
        use std::ops::Range;

        use bytes::Bytes;
        use parking_lot::Mutex;

        use super::Object;
        use crate::format::parquet::RandomAccess;

        /// Bytes at the end that are got at once: most footers are smaller.
        const TAIL: u64 = 64 << 10;
        /// Ranges with less between them are one request.
        const GAP: u64 = 512 << 10;
        /// The longest range of a request.
        const LONGEST: u64 = 16 << 20;

        /// An object of which parts are kept.
        #[derive(Debug)]
        pub(in crate::connector::filesystem) struct Parts {
            object: Object,
            tail: (u64, Bytes),
            kept: Mutex<Vec<(u64, Bytes)>>,
        }

        impl Parts {
            pub(in crate::connector::filesystem) fn of(object: &Object) -> io::Result<Self> {
                let size = object.found.size;
                let start = size.saturating_sub(TAIL);
                let tail = (start, object.range(start, size)?);
                Ok(Self { object: object.clone(), tail, kept: Mutex::default() })
            }
        }

        fn inside((start, bytes): &(u64, Bytes), offset: u64, length: usize) -> Option<Bytes> {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            let to = from.checked_add(length)?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        }

        impl RandomAccess for Parts {
            fn size(&self) -> u64 {
                self.object.found.size
            }

            fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
                if let Some(bytes) = inside(&self.tail, offset, length) {
                    return Ok(bytes);
                }
                if let Some(bytes) = self.kept.lock().iter().find_map(|part| inside(part, offset, length)) {
                    return Ok(bytes);
                }
                self.object.range(offset, offset + length as u64)
            }

            fn prepare(&self, ranges: &[Range<u64>]) -> io::Result<()> {
                let mut sorted: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
                sorted.sort_by_key(|r| r.start);
                let mut asked: Vec<(u64, u64)> = Vec::new();
                for range in sorted {
                    match asked.last_mut() {
                        Some((start, end))
                            if range.start <= end.saturating_add(GAP) && range.end - *start <= LONGEST =>
                        {
                            *end = range.end.max(*end);
                        }
                        _ => asked.push((range.start, range.end)),
                    }
                }
                self.kept.lock().clear();
                let parts = self.object.ranges(&asked)?;
                *self.kept.lock() = asked.into_iter().map(|(start, _)| start).zip(parts).collect();
                Ok(())
            }
        }
    }
}

/// A build without object stores has no objects.
#[cfg(not(feature = "s3"))]
mod absent {
    use std::io::{self, Read, Seek, SeekFrom};
    use std::path::PathBuf;

    #[derive(Debug, Clone, PartialEq)]
    pub(in crate::connector::filesystem) enum Object {}

    impl Object {
        pub(in crate::connector::filesystem) fn path(&self) -> PathBuf {
            match *self {}
        }

        pub(in crate::connector::filesystem) fn identity(&self) -> u64 {
            match *self {}
        }

        pub(in crate::connector::filesystem) fn open(&self) -> ObjectHandle {
            match *self {}
        }

        pub(in crate::connector::filesystem) fn range(
            &self,
            _start: u64,
            _end: u64,
        ) -> io::Result<bytes::Bytes> {
            match *self {}
        }
    }

    pub(in crate::connector::filesystem) enum ObjectHandle {}

    impl ObjectHandle {
        pub(in crate::connector::filesystem) fn ends_at(&mut self, _until: u64) {
            match *self {}
        }
    }

    impl Read for ObjectHandle {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }
    }

    impl Seek for ObjectHandle {
        fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
            match *self {}
        }
    }
}
