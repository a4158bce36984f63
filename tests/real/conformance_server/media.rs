//! Minimal media files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// An image of one pixel, as a content block.
pub(crate) fn image() -> Value {
    json!({ "type": "image", "data": png(), "mimeType": "image/png" })
}

/// A sound without samples, as a content block.
pub(crate) fn audio() -> Value {
    json!({ "type": "audio", "data": STANDARD.encode(WAV), "mimeType": "audio/wav" })
}

/// An image of one pixel, in base64.
pub(crate) fn png() -> String {
    STANDARD.encode(PNG)
}

/// Signature, header (1 x 1, 8-bit grayscale), one compressed line, end. Each chunk has a checksum.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\
    \0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\
    \0\0\0\x0aIDAT\x78\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\
    \0\0\0\0IEND\xae\x42\x60\x82";

/// PCM, one channel, 8,000 samples of 8 bits per second, without any sample.
const WAV: &[u8] = b"RIFF\x24\0\0\0WAVE\
    fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\
    data\0\0\0\0";
