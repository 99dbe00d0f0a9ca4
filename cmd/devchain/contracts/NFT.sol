// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// A collection for a development chain: anybody may mint and burn.
contract NFT is ERC721 {
    uint256 private next = 1;

    constructor() ERC721("StreamGate Demo Pass", "PASS") {}

    /// Mints the next free token.
    function mint(address to) external returns (uint256 id) {
        while (_ownerOf(next) != address(0)) next++;
        id = next++;
        _mint(to, id);
    }

    function mintId(address to, uint256 id) external {
        _mint(to, id);
    }

    function burn(uint256 id) external {
        _burn(id);
    }
}
