package eth

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// The examples of EIP-55.
var eip55 = []string{
	"0x52908400098527886E0F7030069857D2E4169EE7",
	"0x8617E340B3D01FA5F11F306F4090FD50E238070D",
	"0xde709f2102306220921060314715629080e2fb77",
	"0x27b1fdb04752bbc536007a920d24acb045561c26",
	"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
	"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
	"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
	"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
}

func addr(t testing.TB, text string) Address {
	t.Helper()
	a, err := ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAddress(t *testing.T) {
	for _, text := range eip55 {
		a := addr(t, text)
		if a.String() != text {
			t.Errorf("%s is shown as %s", text, a)
		}
		if addr(t, "0x"+strings.ToLower(text[2:])) != a || addr(t, "0x"+strings.ToUpper(text[2:])) != a {
			t.Errorf("%s differs in another case", text)
		}
		data, err := json.Marshal(map[Address]Address{a: a})
		if want := `{"` + text + `":"` + text + `"}`; err != nil || string(data) != want {
			t.Errorf("JSON %s, %v", data, err)
		}
		var back map[Address]Address
		if err := json.Unmarshal(data, &back); err != nil || back[a] != a {
			t.Errorf("back: %v, %v", back, err)
		}
	}
	if !(Address{}).IsZero() || addr(t, eip55[0]).IsZero() {
		t.Error("IsZero")
	}
}

func TestAddressRefused(t *testing.T) {
	good := eip55[4]
	for _, text := range []string{
		"", "0x", good[2:], "0X" + good[2:], good[:41], good + "0", good + " ", "0x" + strings.Repeat("g", 40),
		"0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", // one case wrong
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee", // one digit wrong
	} {
		if a, err := ParseAddress(text); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v, %v", text, a, err)
		}
	}
	if _, err := ParseAddress("0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"); !strings.Contains(err.Error(), "EIP-55") {
		t.Errorf("the message does not tell of the checksum: %v", err)
	}
}

// Whatever is accepted comes back as itself.
func FuzzParseAddress(f *testing.F) {
	for _, text := range eip55 {
		f.Add(text)
	}
	f.Add("0x")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err == nil && !strings.EqualFold(a.String(), text) {
			t.Errorf("%q became %s", text, a)
		}
	})
}
