package rules

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"streamgate/app/access/eth"
	"strings"
	"time"
)

// Parse reads a rule that comes from outside, strictly: *Error names
// the place and what is wrong. A password comes as plain text, to be hashed by
// Seal; {"password":{}} stands for the one the rule had before (Keep).
func Parse(data []byte) (*Rule, error) { return parseRule(data, false) }

// Load reads what Rule.Stored has written.
func Load(data []byte) (*Rule, error) { return parseRule(data, true) }

func parseRule(data []byte, stored bool) (*Rule, error) {
	// Stored forms may be longer: hashes, defaults and checksums are written out.
	if !stored && len(data) > MaxBytes {
		return nil, errorf("", "it has %d bytes; at most %d are allowed", len(data), MaxBytes)
	}
	document, err := readJSON(data)
	if err != nil {
		return nil, err
	}
	p := parser{stored: stored}
	rule, err := p.node(document, "", 1)
	if err != nil {
		return nil, err
	}
	if err := checkNegation(&rule, "", false); err != nil {
		return nil, err
	}
	return &rule, nil
}

// ruleParser counts what is limited for the rule as a whole.
type parser struct {
	stored    bool
	nodes     int
	passwords int
	tokenIDs  int
}

func (p *parser) node(value any, at string, depth int) (Rule, error) {
	p.nodes++
	if depth > MaxDepth {
		return Rule{}, errorf(at, "the rule is nested deeper than %d levels", MaxDepth)
	}
	if p.nodes > MaxNodes {
		return Rule{}, errorf(at, "the rule has more than %d nodes", MaxNodes)
	}
	object, ok := value.(map[string]any)
	if !ok || len(object) != 1 {
		return Rule{}, errorf(at, "it must be an object with exactly one key, such as {\"public\": true}")
	}
	for key, inner := range object {
		return p.kind(Kind(key), inner, at+"/"+pointerToken(key), depth)
	}
	return Rule{}, nil // not reached: there is one key
}

func (p *parser) kind(kind Kind, value any, at string, depth int) (Rule, error) {
	rule := Rule{Kind: kind}
	var err error
	switch kind {
	case KindAll, KindAny:
		rule.Parts, err = p.parts(value, at, depth)
	case KindNot:
		rule.Parts = make([]Rule, 1)
		rule.Parts[0], err = p.node(value, at, depth+1)
	case KindERC721, KindERC1155, KindERC20, KindNative:
		rule.Holding, err = parseHolding(kind, value, at)
		if p.tokenIDs += len(rule.tokenIDs()); err == nil && p.tokenIDs > MaxTokenIDs {
			err = errorf(at, "the rule names more than %d tokens", MaxTokenIDs)
		}
	case KindWallets:
		rule.Wallets, err = parseWallets(value, at)
	case KindPassword:
		rule.Password, err = p.password(value, at)
	case KindTicketCode:
		rule.Ticket, err = parseTicketCode(value, at)
	case KindTimeWindow:
		rule.Window, err = parseWindow(value, at)
	case KindPublic:
		if value != true {
			err = errorf(at, "it must be true; to admit nobody in particular, name who is admitted")
		}
	case KindRule:
		rule.Ref, err = parseName(value, at)
	default:
		err = errorf(at, "there is no such rule; there are all, any, not, contract, erc721, erc1155, erc20, native, wallets, password, ticket_code, time_window, public and rule")
	}
	return rule, err
}

func (p *parser) parts(value any, at string, depth int) ([]Rule, error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, errorf(at, "it must be a list of one or more rules")
	}
	var parts []Rule
	for i, inner := range list {
		part, err := p.node(inner, at+"/"+strconv.Itoa(i), depth+1)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func (p *parser) password(value any, at string) (*Password, error) {
	if p.passwords++; p.passwords > MaxPasswords {
		return nil, errorf(at, "the rule has more than %d passwords", MaxPasswords)
	}
	if p.stored {
		f := fieldsOf(value, at, "hash")
		hash := f.text("hash")
		if f.err == nil && !validHash(hash) {
			f.fail("hash", "it is not a password hash of ours")
		}
		return &Password{hash: hash}, f.err
	}
	if plain, ok := value.(string); ok {
		return newPassword(plain, at)
	}
	f := fieldsOf(value, at)
	if f.err != nil {
		return nil, errorf(at, "it must be the password as a string, or {} to keep the one there is")
	}
	return &Password{}, nil
}

func parseHolding(kind Kind, value any, at string) (*Holding, error) {
	allowed := map[Kind][]string{
		KindERC721:  {"chain", "contract", "token_ids", "min_balance"},
		KindERC1155: {"chain", "contract", "id", "min"},
		KindERC20:   {"chain", "contract", "min"},
		KindNative:  {"chain", "min"},
	}
	f := fieldsOf(value, at, allowed[kind]...)
	h := &Holding{Chain: f.integer("chain", maxChainID)}
	if kind != KindNative {
		h.Contract = f.address("contract")
	}
	switch kind {
	case KindERC721:
		h.IDs = f.tokenIDs("token_ids")
		h.Min = big.NewInt(1)
		if f.has("min_balance") {
			h.Min.SetUint64(f.integer("min_balance", 1_000_000))
		}
		if n := len(h.IDs); n > 0 && h.Min.Cmp(big.NewInt(int64(n))) > 0 {
			f.fail("min_balance", "it asks for more tokens than token_ids names")
		}
	case KindERC1155:
		h.IDs = []*big.Int{f.amount("id", 0)}
		h.Min = big.NewInt(1)
		if f.has("min") {
			h.Min = f.amount("min", 1)
		}
	default:
		h.Min = f.amount("min", 1)
	}
	return h, f.err
}

func parseWallets(value any, at string) ([]eth.Address, error) {
	list, ok := value.([]any)
	if !ok || len(list) == 0 || len(list) > MaxWallets {
		return nil, errorf(at, "it must be a list of 1 to %d addresses", MaxWallets)
	}
	wallets := make([]eth.Address, 0, len(list))
	seen := make(map[eth.Address]bool, len(list))
	for i, item := range list {
		place := at + "/" + strconv.Itoa(i)
		wallet, err := parseAddressAt(item, place)
		if err != nil {
			return nil, err
		}
		if seen[wallet] {
			return nil, errorf(place, "this wallet is listed twice; remove one")
		}
		seen[wallet] = true
		wallets = append(wallets, wallet)
	}
	return wallets, nil
}

func parseTicketCode(value any, at string) (*TicketCode, error) {
	f := fieldsOf(value, at, "pool", "uses")
	code := &TicketCode{Uses: 1}
	if f.err == nil {
		code.Pool, f.err = parseName(f.object["pool"], at+"/pool")
	}
	if f.has("uses") {
		code.Uses = int(f.integer("uses", MaxTicketUses))
	}
	return code, f.err
}

func parseWindow(value any, at string) (*TimeWindow, error) {
	f := fieldsOf(value, at, "from", "until")
	w := &TimeWindow{From: f.time("from"), Until: f.time("until")}
	switch {
	case f.err != nil:
	case w.From.IsZero() && w.Until.IsZero():
		f.err = errorf(at, "it needs from, until or both")
	case !w.Until.IsZero() && !w.From.Before(w.Until):
		f.fail("until", "it must be after from")
	}
	return w, f.err
}

// NameForm says how the names of rules and pools are written.
const NameForm = "a name of 1 to 64 letters, digits, - and _"

// ValidName tells whether a text may be the name of a rule or a pool: NameForm.
func ValidName(name string) bool {
	strange := strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
	return name != "" && len(name) <= 64 && !strange
}

func parseName(value any, at string) (string, error) {
	name, _ := value.(string)
	if !ValidName(name) {
		return "", errorf(at, "it must be %s", NameForm)
	}
	return name, nil
}

func parseAddressAt(value any, at string) (eth.Address, error) {
	text, ok := value.(string)
	if !ok {
		return eth.Address{}, errorf(at, "it must be an address as a string")
	}
	a, err := eth.ParseAddress(text)
	if err != nil {
		return eth.Address{}, errorf(at, "%v", err)
	}
	if a.IsZero() {
		return eth.Address{}, errorf(at, "the zero address belongs to nobody; name another")
	}
	return a, nil
}

// maxChainID is the largest integer that every JSON reader keeps exactly.
const maxChainID = 1<<53 - 1

// fields reads a leaf's object; the first thing that is wrong stays in err.
type fields struct {
	object map[string]any
	at     string
	err    error
}

func fieldsOf(value any, at string, allowed ...string) *fields {
	f := &fields{at: at}
	var ok bool
	if f.object, ok = value.(map[string]any); !ok {
		f.err = errorf(at, "it must be an object")
		return f
	}
	var unknown []string
	for key := range f.object {
		if !slices.Contains(allowed, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown) // the same message each time
		f.err = errorf(at+"/"+pointerToken(unknown[0]), "there is no such field; there are %s", strings.Join(allowed, ", "))
	}
	return f
}

func (f *fields) fail(key, format string, args ...any) {
	if f.err == nil {
		f.err = errorf(f.at+"/"+key, format, args...)
	}
}

func (f *fields) has(key string) bool {
	_, ok := f.object[key]
	return ok && f.err == nil
}

func (f *fields) text(key string) string {
	text, ok := f.object[key].(string)
	if !ok {
		f.fail(key, "it must be given as a string")
	}
	return text
}

// integer reads a JSON integer of 1 to limit.
func (f *fields) integer(key string, limit uint64) uint64 {
	number, _ := f.object[key].(json.Number)
	n, err := strconv.ParseUint(number.String(), 10, 64)
	if err != nil || n < 1 || n > limit {
		f.fail(key, "it must be given as an integer of 1 to %d", limit)
	}
	return n
}

func (f *fields) address(key string) eth.Address {
	if f.err != nil {
		return eth.Address{}
	}
	var a eth.Address
	a, f.err = parseAddressAt(f.object[key], f.at+"/"+key)
	return a
}

// amount reads a uint256 of at least low from a decimal string: JSON numbers
// lose digits on the way through most programs.
func (f *fields) amount(key string, low int64) *big.Int {
	n, ok := parseAmount(f.object[key])
	if !ok || n.Cmp(big.NewInt(low)) < 0 {
		f.fail(key, "it must be given as a decimal string of %d to 2^256-1, such as \"7\"", low)
		return new(big.Int)
	}
	return n
}

func (f *fields) tokenIDs(key string) []*big.Int {
	if !f.has(key) {
		return nil
	}
	list, ok := f.object[key].([]any)
	if !ok || len(list) == 0 || len(list) > MaxTokenIDs {
		f.fail(key, "it must be a list of 1 to %d token ids; leave it out to admit any token", MaxTokenIDs)
		return nil
	}
	var ids []*big.Int
	seen := map[string]bool{}
	for i, item := range list {
		place := key + "/" + strconv.Itoa(i)
		id, ok := parseAmount(item)
		if !ok {
			f.fail(place, "it must be a decimal string of 0 to 2^256-1, such as \"7\"")
			return nil
		}
		if seen[id.String()] {
			f.fail(place, "this token is listed twice; remove one")
		}
		seen[id.String()] = true
		ids = append(ids, id)
	}
	return ids
}

// parseAmount reads a uint256 as it is canonically written.
func parseAmount(value any) (*big.Int, bool) {
	text, ok := value.(string)
	if !ok || len(text) > 78 || strings.Trim(text, "0123456789") != "" {
		return nil, false
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 256 || n.String() != text {
		return nil, false
	}
	return n, true
}

func (f *fields) time(key string) time.Time {
	if !f.has(key) {
		return time.Time{}
	}
	text, _ := f.object[key].(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 2000 || t.Year() > 9000 {
		f.fail(key, "it must be a time as of RFC 3339, such as \"2030-01-31T20:00:00Z\"")
	}
	return t.UTC()
}

// checkNegation refuses a password or a ticket code under not: whoever kept
// silent would be admitted.
func checkNegation(r *Rule, at string, negated bool) error {
	place := at + "/" + string(r.Kind)
	if negated && (r.Kind == KindPassword || r.Kind == KindTicketCode) {
		return errorf(place, "it cannot stand under not: whoever kept silent would be admitted")
	}
	for i := range r.Parts {
		if err := checkNegation(&r.Parts[i], partPlace(r.Kind, place, i), negated || r.Kind == KindNot); err != nil {
			return err
		}
	}
	return nil
}
