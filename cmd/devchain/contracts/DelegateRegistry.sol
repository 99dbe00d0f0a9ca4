// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// A delegate registry with the events and checks of version 2: a vault (from)
/// lets another wallet (to) act for it. Rights of zero are full rights.
contract DelegateRegistry {
    event DelegateAll(address indexed from, address indexed to, bytes32 rights, bool enable);
    event DelegateContract(
        address indexed from, address indexed to, address indexed contract_, bytes32 rights, bool enable
    );
    event DelegateERC721(
        address indexed from, address indexed to, address indexed contract_, uint256 tokenId, bytes32 rights, bool enable
    );
    event DelegateERC20(
        address indexed from, address indexed to, address indexed contract_, bytes32 rights, uint256 amount
    );
    event DelegateERC1155(
        address indexed from,
        address indexed to,
        address indexed contract_,
        uint256 tokenId,
        bytes32 rights,
        uint256 amount
    );

    enum Kind {
        All,
        Contract,
        ERC721,
        ERC20,
        ERC1155
    }

    mapping(bytes32 key => uint256 amount) private granted;

    function delegateAll(address to, bytes32 rights, bool enable) external payable returns (bytes32 key) {
        key = set(Kind.All, to, address(0), 0, rights, enable ? 1 : 0);
        emit DelegateAll(msg.sender, to, rights, enable);
    }

    function delegateContract(address to, address contract_, bytes32 rights, bool enable)
        external
        payable
        returns (bytes32 key)
    {
        key = set(Kind.Contract, to, contract_, 0, rights, enable ? 1 : 0);
        emit DelegateContract(msg.sender, to, contract_, rights, enable);
    }

    function delegateERC721(address to, address contract_, uint256 tokenId, bytes32 rights, bool enable)
        external
        payable
        returns (bytes32 key)
    {
        key = set(Kind.ERC721, to, contract_, tokenId, rights, enable ? 1 : 0);
        emit DelegateERC721(msg.sender, to, contract_, tokenId, rights, enable);
    }

    function delegateERC20(address to, address contract_, bytes32 rights, uint256 amount)
        external
        payable
        returns (bytes32 key)
    {
        key = set(Kind.ERC20, to, contract_, 0, rights, amount);
        emit DelegateERC20(msg.sender, to, contract_, rights, amount);
    }

    function delegateERC1155(address to, address contract_, uint256 tokenId, bytes32 rights, uint256 amount)
        external
        payable
        returns (bytes32 key)
    {
        key = set(Kind.ERC1155, to, contract_, tokenId, rights, amount);
        emit DelegateERC1155(msg.sender, to, contract_, tokenId, rights, amount);
    }

    function checkDelegateForAll(address to, address from, bytes32 rights) public view returns (bool) {
        return has(Kind.All, to, from, address(0), 0, rights);
    }

    function checkDelegateForContract(address to, address from, address contract_, bytes32 rights)
        public
        view
        returns (bool)
    {
        return checkDelegateForAll(to, from, rights) || has(Kind.Contract, to, from, contract_, 0, rights);
    }

    function checkDelegateForERC721(address to, address from, address contract_, uint256 tokenId, bytes32 rights)
        external
        view
        returns (bool)
    {
        return checkDelegateForContract(to, from, contract_, rights)
            || has(Kind.ERC721, to, from, contract_, tokenId, rights);
    }

    function checkDelegateForERC20(address to, address from, address contract_, bytes32 rights)
        external
        view
        returns (uint256)
    {
        if (checkDelegateForContract(to, from, contract_, rights)) return type(uint256).max;
        return grant(Kind.ERC20, to, from, contract_, 0, rights);
    }

    function checkDelegateForERC1155(address to, address from, address contract_, uint256 tokenId, bytes32 rights)
        external
        view
        returns (uint256)
    {
        if (checkDelegateForContract(to, from, contract_, rights)) return type(uint256).max;
        return grant(Kind.ERC1155, to, from, contract_, tokenId, rights);
    }

    function set(Kind kind, address to, address contract_, uint256 tokenId, bytes32 rights, uint256 amount)
        private
        returns (bytes32 key)
    {
        key = keccak256(abi.encode(kind, msg.sender, to, contract_, tokenId, rights));
        granted[key] = amount;
    }

    function has(Kind kind, address to, address from, address contract_, uint256 tokenId, bytes32 rights)
        private
        view
        returns (bool)
    {
        return grant(kind, to, from, contract_, tokenId, rights) != 0;
    }

    /// The greater of what is granted with full rights and with these.
    function grant(Kind kind, address to, address from, address contract_, uint256 tokenId, bytes32 rights)
        private
        view
        returns (uint256)
    {
        uint256 full = granted[keccak256(abi.encode(kind, from, to, contract_, tokenId, bytes32(0)))];
        uint256 some = granted[keccak256(abi.encode(kind, from, to, contract_, tokenId, rights))];
        return full > some ? full : some;
    }
}
