package evm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"streamgate/app/access/eth"
)

// TestNames: selectors, topics and interface ids are the hashes of what they
// stand for.
func TestNames(t *testing.T) {
	for signature, want := range map[string]selector{
		"balanceOf(address)": selBalanceOf, "ownerOf(uint256)": selOwnerOf, "balanceOf(address,uint256)": selBalanceOf1155,
		"supportsInterface(bytes4)": selSupports, "aggregate3((address,bool,bytes)[])": selAggregate3,
		"checkDelegateForContract(address,address,address,bytes32)": selCheckContract, "getEthBalance(address)": selEthBalance,
	} {
		if got := crypto.Keccak256([]byte(signature))[:4]; string(got) != string(want) {
			t.Errorf("%s: %x", signature, got)
		}
	}
	for signature, want := range map[string]string{
		"Transfer(address,address,uint256)":                                topicTransfer,
		"TransferSingle(address,address,address,uint256,uint256)":          topicSingle,
		"TransferBatch(address,address,address,uint256[],uint256[])":       topicBatch,
		"ConsecutiveTransfer(uint256,uint256,address,address)":             topicConsecutive,
		"DelegateAll(address,address,bytes32,bool)":                        topicAll,
		"DelegateContract(address,address,address,bytes32,bool)":           topicContract,
		"DelegateERC721(address,address,address,uint256,bytes32,bool)":     topicERC721,
		"DelegateERC20(address,address,address,bytes32,uint256)":           topicERC20,
		"DelegateERC1155(address,address,address,uint256,bytes32,uint256)": topicERC1155,
	} {
		if got := hex.EncodeToString(crypto.Keccak256([]byte(signature))); got != want {
			t.Errorf("%s: %s", signature, got)
		}
	}
	for _, known := range []string{DefaultMulticall, DefaultDelegateRegistry} {
		if got := common.Address(knownAddress(known)); got.Hex() != known {
			t.Errorf("%s is read as %s", known, got)
		}
	}
	for want, functions := range map[string][]string{
		interface721: {"balanceOf(address)", "ownerOf(uint256)", "approve(address,uint256)", "getApproved(uint256)",
			"setApprovalForAll(address,bool)", "isApprovedForAll(address,address)", "transferFrom(address,address,uint256)",
			"safeTransferFrom(address,address,uint256)", "safeTransferFrom(address,address,uint256,bytes)"},
		interface1155: {"balanceOf(address,uint256)", "balanceOfBatch(address[],uint256[])", "setApprovalForAll(address,bool)",
			"isApprovedForAll(address,address)", "safeTransferFrom(address,address,uint256,uint256,bytes)",
			"safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)"},
	} {
		id := make([]byte, 4)
		for _, f := range functions {
			for i, b := range crypto.Keccak256([]byte(f))[:4] {
				id[i] ^= b
			}
		}
		if string(id) != want {
			t.Errorf("the interface of %s… is %x", functions[0], id)
		}
	}
}

const aggregateABI = `[{"type":"function","name":"aggregate3","inputs":[{"name":"calls","type":"tuple[]","components":[
	{"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],
	"outputs":[{"name":"returnData","type":"tuple[]","components":[{"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]}]`

// TestAggregate compares the encoding by hand with go-ethereum's.
func TestAggregate(t *testing.T) {
	type call3 struct {
		Target       common.Address
		AllowFailure bool
		CallData     []byte
	}
	type res3 struct {
		Success    bool
		ReturnData []byte
	}
	parsed, err := abi.JSON(strings.NewReader(aggregateABI))
	if err != nil {
		t.Fatal(err)
	}
	multicall := eth.Address{0xca}
	var part []probe
	var calls []call3
	var want []res3
	for i := range 70 {
		data := bytes.Repeat([]byte{byte(i + 1)}, i+1)
		part = append(part, probe{eth.Address{byte(i)}, data})
		calls = append(calls, call3{common.Address{byte(i)}, true, data})
		want = append(want, res3{i%3 == 0, data[:i]})
	}
	part = append(part, probe{to: eth.Address{0xee}})
	balance := selEthBalance.pack(wordOfAddress(eth.Address{0xee}))
	calls, want = append(calls, call3{common.Address(multicall), true, balance}), append(want, res3{true, nil})
	packed, err := parsed.Pack("aggregate3", calls)
	if err != nil {
		t.Fatal(err)
	}
	if got := packAggregate3(multicall, part); !bytes.Equal(got, packed) {
		t.Errorf("packed\n%x\nwant\n%x", got, packed)
	}
	returned, err := parsed.Methods["aggregate3"].Outputs.Pack(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackAggregate3(returned, len(want))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		if got[i].success != w.Success || !bytes.Equal(got[i].data, w.ReturnData) {
			t.Errorf("result %d: %v, want %v", i, got[i], w)
		}
	}
	if _, err := unpackAggregate3(returned, len(want)+1); err == nil {
		t.Error("a result too few was accepted")
	}
}

func FuzzUnpackAggregate3(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add(append(packBytes(nil), bytes.Repeat([]byte{0xff}, 64)...), 1)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		if n < 0 || n > 100 {
			return
		}
		if got, err := unpackAggregate3(data, n); err == nil && len(got) != n {
			t.Errorf("%d results, want %d", len(got), n)
		}
	})
}

func FuzzUnwrap6492(f *testing.F) {
	f.Add(suffix6492())
	f.Add(append(bytes.Repeat(append(make([]byte, 31), 96), 4), suffix6492()...))
	f.Fuzz(func(t *testing.T, signature []byte) {
		w, wrapped, err := unwrap6492(signature)
		if wrapped != bytes.HasSuffix(signature, suffix6492()) {
			t.Error("the suffix tells a wrapper")
		}
		if err == nil && wrapped && (w.factory == eth.Address{} || len(w.prepare)+len(w.signature) > 2*len(signature)) {
			t.Errorf("%+v of %x", w, signature)
		}
		if _, err := packValidator(eth.Address{}, [32]byte{}, w); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDecodeReplies(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"result":"0x1"}`, `[{"id":2,"result":null},{"id":1,"error":{"code":3,"message":"x"}}]`,
		`{"error":{"code":-32005,"message":"limit"}}`, `[{"id":1,"result":1},{"id":1,"result":1}]`, `[`, ``, `null`, `[null]`,
	} {
		f.Add([]byte(seed), 2)
	}
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		if n < 1 || n > 100 {
			return
		}
		replies, err := decodeReplies(body, n)
		if err != nil {
			return
		}
		if len(replies) != n {
			t.Fatalf("%d replies to %d calls", len(replies), n)
		}
		for _, r := range replies {
			if (r.result == nil) == (r.err == nil) {
				t.Errorf("a reply is %+v", r)
			}
		}
	})
}

func TestExecutionErrors(t *testing.T) {
	for text, want := range map[string]bool{
		"execution reverted": true, "execution reverted: rate limit exceeded": true, "VM execution error.": true,
		"out of gas": true, "invalid opcode: INVALID": true, "invalid jump destination": true, "Reverted 0x": true,
		"header not found": false, "rate limit exceeded": false, "missing trie node": false, "Internal error": false,
		"the block was reverted out of the chain": false,
	} {
		if got := (&rpcError{Code: -32000, Message: text}).execution(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !(&rpcError{Code: 3}).execution() {
		t.Error("code 3 is a revert")
	}
}

// TestLogsThatCannotBeRead: what is logged in another form may concern anybody.
func TestLogsThatCannotBeRead(t *testing.T) {
	a, b := wordOfAddress(eth.Address{1}), wordOfAddress(eth.Address{2})
	var topic, single word
	for to, from := range map[*word]string{&topic: topicTransfer, &single: topicSingle} {
		if err := json.Unmarshal([]byte(`"0x`+from+`"`), to); err != nil {
			t.Fatal(err)
		}
	}
	id := wordOfBig(big.NewInt(7))
	dirty := word{1}
	for name, c := range map[string]struct {
		log   wireLog
		known bool
	}{
		"indexed":         {wireLog{Topics: []word{topic, a, b}, Data: id[:]}, true},
		"indexed id":      {wireLog{Topics: []word{topic, a, b, id}}, true},
		"in the data":     {wireLog{Topics: []word{topic}, Data: append(append(a[:len(a):len(a)], b[:]...), id[:]...)}, true},
		"ERC-1155":        {wireLog{Topics: []word{single, id, a, b}}, true},
		"nothing":         {wireLog{Topics: []word{topic}}, false},
		"half":            {wireLog{Topics: []word{topic, a}, Data: id[:31]}, false},
		"no address":      {wireLog{Topics: []word{topic, dirty, b}}, false},
		"ERC-1155, short": {wireLog{Topics: []word{single, a, b}}, false},
	} {
		got := c.log.transfer(5, eth.Address{9})
		want := eth.Transfer{Block: 5, Contract: eth.Address{9}}
		if c.known {
			want.From, want.To = eth.Address{1}, eth.Address{2}
		}
		if got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
