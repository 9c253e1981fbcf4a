//! Cipher block chaining with ciphertext stealing (RFC 3962 §5), from a vector of zeros: the last two blocks change
//! places, and what is missing in the last is taken from the one before.

use aes::{Aes128, cipher::Block};

use super::{BLOCK, Cipher};

type OneBlock = Block<Aes128>;

/// Encrypts at least one block in its place. There should be room for [`BLOCK`] octets more.
pub(super) fn encrypt(cipher: &Cipher, octets: &mut Vec<u8>) {
    let length = octets.len();
    octets.resize(length.next_multiple_of(BLOCK), 0);
    let mut previous = OneBlock::default();
    for chunk in octets.chunks_exact_mut(BLOCK) {
        let mut block = load(chunk);
        mix(&mut block, &previous);
        cipher.encrypt(&mut block);
        chunk.copy_from_slice(&block);
        previous = block;
    }
    swap_last_two(octets);
    octets.truncate(length);
}

/// Undoes [`encrypt`].
pub(super) fn decrypt(cipher: &Cipher, octets: &mut Vec<u8>) {
    let length = octets.len();
    if length > BLOCK {
        let missing = length.next_multiple_of(BLOCK) - length;
        // The last block in full stands before the last; deciphered, it ends with what the one before it lacks.
        let last = octets.len() - (BLOCK - missing) - BLOCK;
        let mut block = load(octets.get(last..).unwrap_or_default());
        cipher.decrypt(&mut block);
        octets.extend_from_slice(block.get(BLOCK - missing..).unwrap_or_default());
        swap_last_two(octets);
    }
    let mut previous = OneBlock::default();
    for chunk in octets.chunks_exact_mut(BLOCK) {
        let cipher_text = load(chunk);
        let mut block = cipher_text;
        cipher.decrypt(&mut block);
        mix(&mut block, &previous);
        chunk.copy_from_slice(&block);
        previous = cipher_text;
    }
    octets.truncate(length);
}

fn load(octets: &[u8]) -> OneBlock {
    let mut block = OneBlock::default();
    block.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
    block
}

fn mix(block: &mut OneBlock, with: &OneBlock) {
    block.iter_mut().zip(with).for_each(|(place, octet)| *place ^= octet);
}

fn swap_last_two(octets: &mut [u8]) {
    let Some(at) = octets.len().checked_sub(2 * BLOCK) else { return };
    if let Some((one, other)) = octets.get_mut(at..).and_then(|two| two.split_at_mut_checked(BLOCK)) {
        one.swap_with_slice(other);
    }
}
