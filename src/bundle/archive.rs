use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::{Bundle, NOTICE};

impl Bundle {
    /// Writes the archive to a new file that nobody else can read. How large it is. Bytes.
    pub fn write(&self, to: &Path) -> io::Result<u64> {
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(to)?;
        let written = self.write_to(&file);
        if written.is_err() {
            // Half an archive opens, and looks whole.
            let _ = std::fs::remove_file(to);
        }
        written?;
        Ok(file.metadata()?.len())
    }

    fn write_to(&self, file: &File) -> io::Result<()> {
        let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
        let mut append = |name: &str, text: &str| {
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now);
            let path = format!("generic-connector-support/{name}");
            archive.append_data(&mut header, path, text.as_bytes())
        };
        append("README.txt", &format!("{}\n{NOTICE}\n", self.contents()))?;
        for part in &self.parts {
            if let Ok(text) = &part.text {
                append(part.name, text)?;
            }
        }
        archive.into_inner()?.finish()?.flush()?;
        file.sync_all()
    }
}
