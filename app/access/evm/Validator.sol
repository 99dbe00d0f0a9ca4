// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;

/// Says, within one eth_call without a recipient, whether a contract wallet
/// accepts a signature (ERC-1271), deployed or not (ERC-6492). It is never
/// deployed: the constructor's answer is one byte instead of code. It cannot
/// revert because of what the wallet or the factory do: their gas is capped,
/// and of their answers at most one word is read.
contract Validator {
    uint256 private constant VALIDATE_GAS = 5_000_000;
    uint256 private constant PREPARE_GAS = 10_000_000;

    uint8 private constant INVALID = 0;
    uint8 private constant VALID = 1;
    uint8 private constant NO_CODE = 2;

    /// A factory of zero means that there is no wrapper: only a wallet that is
    /// there can answer.
    constructor(address signer, bytes32 hash, bytes memory signature, address factory, bytes memory prepare) {
        bytes memory question = abi.encodeWithSelector(0x1626ba7e, hash, signature);
        uint8 verdict = ask(signer, question);
        if (verdict != VALID && factory != address(0)) {
            assembly {
                pop(call(PREPARE_GAS, factory, 0, add(prepare, 32), mload(prepare), 0, 0))
            }
            verdict = ask(signer, question);
        }
        assembly {
            mstore8(0, verdict)
            return(0, 1)
        }
    }

    function ask(address signer, bytes memory question) private view returns (uint8) {
        if (signer.code.length == 0) return NO_CODE;
        bool ok;
        bytes32 answer;
        assembly {
            mstore(0, 0)
            ok := staticcall(VALIDATE_GAS, signer, add(question, 32), mload(question), 0, 32)
            ok := and(ok, eq(returndatasize(), 32))
            answer := mload(0)
        }
        return ok && answer == bytes32(bytes4(0x1626ba7e)) ? VALID : INVALID;
    }
}
