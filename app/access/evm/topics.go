package evm

import (
	"encoding/hex"

	"streamgate/app/access/eth"
)

// The events that change who holds what, or who acts for whom.
const (
	topicTransfer    = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef" // Transfer(address,address,uint256), ERC-20 and ERC-721
	topicSingle      = "c3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62" // TransferSingle(address,address,address,uint256,uint256), ERC-1155
	topicBatch       = "4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb" // TransferBatch(address,address,address,uint256[],uint256[]), ERC-1155
	topicConsecutive = "deaa91b6123d068f5821d0fb0678463d1a8a6079fe8af5de3ce5e896dcf9133d" // ConsecutiveTransfer(uint256,uint256,address,address), ERC-2309

	// The delegate registry's.
	topicAll      = "da3ef6410e30373a9137f83f9781a8129962b6882532b7c229de2e39de423227" // DelegateAll(address,address,bytes32,bool)
	topicContract = "021be15e24de4afc43cfb5d0ba95ca38e0783571e05c12bbe6aece8842ae82df" // DelegateContract(address,address,address,bytes32,bool)
	topicERC721   = "15e7a1bdcd507dd632d797d38e60cc5a9c0749b9a63097a215c4d006126825c6" // DelegateERC721(address,address,address,uint256,bytes32,bool)
	topicERC20    = "6ebd000dfc4dc9df04f723f827bae7694230795e8f22ed4af438e074cc982d18" // DelegateERC20(address,address,address,bytes32,uint256)
	topicERC1155  = "27ab1adc9bca76301ed7a691320766dfa4b4b1aa32c9e05cf789611be7f8c75f" // DelegateERC1155(address,address,address,uint256,bytes32,uint256)
)

// topics are what requests for logs ask for.
func topics() []string {
	list := []string{topicTransfer, topicSingle, topicBatch, topicConsecutive,
		topicAll, topicContract, topicERC721, topicERC20, topicERC1155}
	for i := range list {
		list[i] = "0x" + list[i]
	}
	return list
}

// fromTopic is the number of the topic where an event has From; To follows it.
func fromTopic(topic string) int {
	switch topic {
	case topicSingle, topicBatch, topicConsecutive:
		return 2
	default:
		return 1
	}
}

// transfer reads a log. Contracts older than indexed arguments have them in
// the data. What cannot be read may concern anybody.
func (l *wireLog) transfer(block uint64, contract eth.Address) eth.Transfer {
	t := eth.Transfer{Block: block, Contract: contract}
	words := l.Topics
	for data := l.Data; len(data) >= 32; data = data[32:] {
		words = append(words, word(data[:32]))
	}
	i := fromTopic(hex.EncodeToString(words[0][:]))
	if len(words) < i+2 {
		return t
	}
	from, okFrom := words[i].address()
	to, okTo := words[i+1].address()
	if okFrom && okTo {
		t.From, t.To = from, to
	}
	return t
}
