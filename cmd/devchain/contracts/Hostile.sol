// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// A contract that answers every call badly, for tests of those who ask.
contract Hostile {
    enum Mode {
        Reverts,
        Rubbish, // 32 bytes of 0xff
        Burns, // all gas
        Bomb, // a very long answer
        Silent, // no bytes
        Yes, // 1 to everything
        DirtyMagic, // ERC-1271's magic value with other bits set behind it
        ShortMagic, // its four bytes alone
        LongMagic // the right word, and one more
    }

    Mode private immutable mode;

    constructor(Mode mode_) {
        mode = mode_;
    }

    fallback() external payable {
        Mode m = mode;
        bytes32 magic = bytes32(bytes4(0x1626ba7e));
        if (m == Mode.Reverts) revert("no");
        if (m == Mode.Rubbish) answer(bytes32(type(uint256).max), 32);
        if (m == Mode.Burns) while (true) {}
        if (m == Mode.Bomb) answer(bytes32(uint256(1)), 1 << 18);
        if (m == Mode.Silent) answer(0, 0);
        if (m == Mode.Yes) answer(bytes32(uint256(1)), 32);
        if (m == Mode.DirtyMagic) answer(magic | bytes32(uint256(1)), 32);
        if (m == Mode.ShortMagic) answer(magic, 4);
        answer(magic, 64);
    }

    function answer(bytes32 word, uint256 size) private pure {
        assembly {
            mstore(0, word)
            return(0, size)
        }
    }
}
