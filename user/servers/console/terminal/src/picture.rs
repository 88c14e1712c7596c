//! The pixels of a grid, in the bytes of a framebuffer.
//!
//! Text is drawn in greys: a grey is the same byte in all of a pixel, in whatever order its colours
//! stand. The memory of a screen is slow, and slower to read, so it is never read: what has been drawn is
//! known, and only what differs from it is drawn, a piece of each row at once. Invariant: nothing is drawn outside
//! of the framebuffer's visible pixels.

use crate::Grid;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};
use portolan_abi::host::Framebuffer;

const WEIGHT: FontWeight = FontWeight::Regular;
const SIZE: RasterHeight = RasterHeight::Size16;
/// Pixels of a character from left to right: with these a piece of a row begins and ends at a whole word.
const CELL_WIDTH: usize = 8;
/// Lines of a character.
const CELL_HEIGHT: usize = SIZE.val();
/// Shown for a character that the font does not have.
const REPLACEMENT: char = '\u{fffd}';

/// Most bytes of a pixel.
const PIXEL_MAX: usize = 4;

const _: () = assert!(get_raster_width(WEIGHT, SIZE) <= CELL_WIDTH);

fn raster(character: char) -> Option<RasterizedChar> {
    get_raster(character, WEIGHT, SIZE)
}

/// What is drawn of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell {
    character: char,
    cursor: bool,
}

/// What a framebuffer shows.
pub struct Picture {
    layout: Layout,
    columns: usize,
    /// What has been drawn, row by row; nothing at first.
    drawn: Vec<Cell>,
    rows: usize,
}

/// Where pixels are.
#[derive(Clone, Copy)]
struct Layout {
    width: usize,
    height: usize,
    /// Bytes of a pixel, and from one line to the next.
    pixel: usize,
    line: usize,
}

impl Picture {
    /// One that has yet to be drawn. `None`: the framebuffer is no screen, or too small for a character.
    #[must_use]
    pub fn new(framebuffer: &Framebuffer) -> Option<Picture> {
        let [width, height, stride, pixel] =
            [framebuffer.width, framebuffer.height, framebuffer.stride, framebuffer.bytes_per_pixel]
                .map(|number| number as usize);
        let line = stride.checked_mul(pixel)?;
        line.checked_mul(height)?;
        let (columns, rows) = (width / CELL_WIDTH, height / CELL_HEIGHT);
        let is_screen = width <= stride && (1..=PIXEL_MAX).contains(&pixel) && columns > 0 && rows > 0;
        let layout = Layout { width, height, pixel, line };
        is_screen.then_some(Picture { layout, columns, rows, drawn: Vec::new() })
    }

    /// A grid that fits it.
    #[must_use]
    pub fn grid(&self) -> Grid {
        Grid::new(self.columns, self.rows)
    }

    /// Bytes of the framebuffer.
    #[must_use]
    pub fn size(&self) -> usize {
        self.layout.line * self.layout.height
    }

    /// Draws what has changed of a grid that fits, by what writes bytes at a distance from the framebuffer's first.
    ///
    /// # Errors
    /// Those of `write`; what could not be drawn then is not drawn again.
    pub fn draw<E>(&mut self, grid: &Grid, mut write: impl FnMut(usize, &[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.drawn.is_empty() {
            self.drawn = vec![Cell::BLANK; self.columns * self.rows];
            self.layout.clear(&mut write)?;
        }
        let cursor = grid.cursor();
        for (row, (characters, drawn)) in grid.rows().zip(self.drawn.chunks_exact_mut(self.columns)).enumerate() {
            let cells = (0..)
                .zip(characters)
                .map(|(column, character)| Cell { character: *character, cursor: (row, column) == cursor });
            if let Some((first, cells)) = replace(drawn, cells) {
                self.layout.draw(row, first, cells, &mut write)?;
            }
        }
        Ok(())
    }
}

/// Replaces cells; the piece with all that have changed, and its first column.
fn replace(row: &mut [Cell], cells: impl Iterator<Item = Cell>) -> Option<(usize, &[Cell])> {
    let mut changed: Option<(usize, usize)> = None;
    for (column, (old, new)) in row.iter_mut().zip(cells).enumerate() {
        if core::mem::replace(old, new) != new {
            changed = Some((changed.map_or(column, |(first, _)| first), column));
        }
    }
    changed.map(|(first, last)| (first, &row[first..=last]))
}

impl Layout {
    /// Blackens all visible pixels.
    fn clear<E>(self, write: &mut impl FnMut(usize, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let black = vec![0; self.width * self.pixel];
        (0..self.height).try_for_each(|line| write(line * self.line, &black))
    }

    /// Draws cells from a column of a row on.
    fn draw<E>(
        self,
        row: usize,
        first: usize,
        cells: &[Cell],
        write: &mut impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = row * CELL_HEIGHT * self.line + first * CELL_WIDTH * self.pixel;
        let mut piece = Vec::with_capacity(cells.len() * CELL_WIDTH * self.pixel);
        for line in 0..CELL_HEIGHT {
            piece.clear();
            for grey in cells.iter().flat_map(|cell| cell.greys(line)) {
                piece.extend_from_slice(&[grey; PIXEL_MAX][..self.pixel]);
            }
            write(start + line * self.line, &piece)?;
        }
        Ok(())
    }
}

impl Cell {
    const BLANK: Cell = Cell { character: ' ', cursor: false };

    /// The greys of one of its lines, from 0 for black to 255; where the cursor is, black is exchanged for white.
    fn greys(self, line: usize) -> [u8; CELL_WIDTH] {
        let mut greys = [0; CELL_WIDTH];
        if let Some(line) = raster(self.character).or(raster(REPLACEMENT)).and_then(|raster| raster.rows().nth(line)) {
            greys[..line.len()].copy_from_slice(line);
        }
        if self.cursor { greys.map(|grey| !grey) } else { greys }
    }
}

/// The characters that a picture shows, row by row, read off its greys; what is none is shown as a replacement, and
/// the cursor as what it stands on. For who looks at a screen from outside.
pub fn read(width: usize, height: usize, grey: impl Fn(usize, usize) -> u8) -> Vec<String> {
    let row = |row| {
        (0..width / CELL_WIDTH)
            .map(|column| character(|x, y| grey(column * CELL_WIDTH + x, row * CELL_HEIGHT + y)))
            .collect()
    };
    (0..height / CELL_HEIGHT).map(row).collect()
}

fn character(grey: impl Fn(usize, usize) -> u8) -> char {
    let shows =
        |cell: &Cell| (0..CELL_HEIGHT).all(|y| (0..).zip(cell.greys(y)).all(|(x, expected)| grey(x, y) == expected));
    let cells = (' '..='\u{ff}').flat_map(|character| [false, true].map(|cursor| Cell { character, cursor }));
    cells.filter(|cell| raster(cell.character).is_some()).find(shows).map_or(REPLACEMENT, |cell| cell.character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: u32 = 83;
    const HEIGHT: u32 = 50;

    /// A framebuffer with a margin that nobody sees.
    fn framebuffer(bytes_per_pixel: u32) -> Framebuffer {
        Framebuffer { width: WIDTH, height: HEIGHT, stride: 90, bytes_per_pixel, ..Framebuffer::default() }
    }

    struct Screen {
        framebuffer: Framebuffer,
        picture: Picture,
        grid: Grid,
        memory: Vec<u8>,
        /// Bytes that were drawn.
        drawn: usize,
    }

    impl Screen {
        fn new(bytes_per_pixel: u32) -> Screen {
            let framebuffer = framebuffer(bytes_per_pixel);
            let picture = Picture::new(&framebuffer).expect("a screen");
            let (grid, memory) = (picture.grid(), vec![0x55; picture.size()]);
            Screen { framebuffer, picture, grid, memory, drawn: 0 }
        }

        fn write(&mut self, text: &str) {
            self.grid.write(text.as_bytes());
            let drawn = self.picture.draw(&self.grid, |offset, bytes| {
                self.drawn += bytes.len();
                let place = self.memory.get_mut(offset..offset + bytes.len()).ok_or("outside")?;
                place.copy_from_slice(bytes);
                Ok::<(), &str>(())
            });
            assert_eq!(drawn, Ok(()));
        }

        /// The bytes of a pixel.
        fn pixel(&self, x: usize, y: usize) -> &[u8] {
            let size = self.framebuffer.bytes_per_pixel as usize;
            &self.memory[(y * self.framebuffer.stride as usize + x) * size..][..size]
        }

        fn text(&self) -> Vec<String> {
            let rows = read(WIDTH as usize, HEIGHT as usize, |x, y| self.pixel(x, y)[0]);
            rows.iter().map(|row| row.trim_end().to_owned()).collect()
        }
    }

    #[test]
    fn text_can_be_read_off_the_pixels() {
        for bytes_per_pixel in 1..=4 {
            let mut screen = Screen::new(bytes_per_pixel);
            screen.write("Hello, \u{fc}!\r\n\n\u{2192}");
            assert_eq!(screen.text(), ["Hello, \u{fc}!", "", "\u{fffd}"]);
            screen.write("\r\nlast");
            assert_eq!(screen.text(), ["", "\u{fffd}", "last"]);
        }
    }

    #[test]
    fn a_pixel_is_one_grey_in_all_its_bytes_and_the_margin_is_left_alone() {
        let mut screen = Screen::new(3);
        screen.write("W");
        for (x, y) in (0..50).flat_map(|y| (0..90).map(move |x| (x, y))) {
            let pixel = screen.pixel(x, y);
            assert!(pixel.iter().all(|byte| *byte == pixel[0]), "{x}, {y}");
            assert!(x < WIDTH as usize || pixel[0] == 0x55, "{x}, {y}");
        }
        // The cursor stands on a blank.
        assert_eq!((screen.pixel(8, 0)[0], screen.pixel(16, 0)[0]), (0xff, 0));
    }

    #[test]
    fn only_what_has_changed_is_drawn() {
        let mut screen = Screen::new(4);
        screen.write("one");
        screen.drawn = 0;
        screen.write("");
        assert_eq!(screen.drawn, 0);
        // The character, and the cursor after it.
        screen.write("x");
        assert_eq!(screen.drawn, 2 * CELL_WIDTH * CELL_HEIGHT * 4);
    }

    #[test]
    fn what_is_no_screen_is_refused() {
        let sound = framebuffer(4);
        assert!(Picture::new(&sound).is_some());
        for unsound in [
            Framebuffer::default(),
            Framebuffer { bytes_per_pixel: 5, ..sound },
            Framebuffer { bytes_per_pixel: 0, ..sound },
            Framebuffer { stride: 82, ..sound },
            Framebuffer { width: 7, ..sound },
            Framebuffer { height: 15, ..sound },
        ] {
            assert!(Picture::new(&unsound).is_none(), "{unsound:?}");
        }
    }
}
