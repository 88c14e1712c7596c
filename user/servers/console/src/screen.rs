//! The screen: what is written to it, in the memory of its framebuffer.
//!
//! A console without one does without it. One that is started again begins with an empty screen.

use portolan::abi::PAGE_SIZE;
use portolan::console;
use portolan::{Error, Mapping, Protection, Result};
use portolan_terminal::{Grid, Picture};

/// The screen.
pub(crate) struct Screen {
    memory: Mapping,
    /// Where its first pixel is in the memory.
    start: usize,
    picture: Picture,
    grid: Grid,
}

impl Screen {
    /// Clears it, and shows the cursor.
    ///
    /// # Errors
    /// `Failure`: it is no screen that text can be drawn on. Those of mapping it.
    pub(crate) fn open(given: &console::Screen) -> Result<Screen> {
        let picture = Picture::new(&given.framebuffer).ok_or(Error::Failure)?;
        let start = (given.framebuffer.address % PAGE_SIZE as u64) as usize;
        let memory = Mapping::new(Some(&given.memory), (start + picture.size()) as u64, Protection::READ_WRITE)?;
        let grid = picture.grid();
        let mut screen = Screen { memory, start, picture, grid };
        screen.write(&[])?;
        Ok(screen)
    }

    /// Shows what is written.
    ///
    /// # Errors
    /// None, as the memory has room for the picture.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.grid.write(bytes);
        self.picture.draw(&self.grid, |offset, pixels| self.memory.write(self.start + offset, pixels))
    }
}
