package console

import (
	"net/http"
	"strings"

	"streamgate/store"
)

// walletRow is a wallet that signs somebody in.
type walletRow struct {
	Address, Short, Person, How string
	Created, Used               stamp
	Unused                      bool
}

func newWalletRows(list []store.Wallet) (rows []walletRow) {
	for _, w := range list {
		row := walletRow{
			Address: w.Address, Short: wallet(w.Address), Person: w.Person, How: "typed by an admin",
			Created: ago(w.Created), Used: ago(w.Used), Unused: w.Used.IsZero(),
		}
		if w.Proved {
			row.How = "signed by the wallet"
		}
		rows = append(rows, row)
	}
	return rows
}

// walletsUsable tells why no wallet can sign in, "" if some can.
func (v *visit) walletsUsable() (why string) {
	if err := v.People.WalletsUsable(); err != nil {
		why, _ = sentence(err)
	}
	return why
}

// base is the console's base URL as the browser says it.
func (v *visit) base() string {
	scheme := "http"
	if v.secure(v.r) {
		scheme = "https"
	}
	return scheme + "://" + v.r.Host + v.Assets.Root
}

func (v *visit) askSignInWallet() {
	c, err := v.People.AskSignInWallet(v.ctx, v.base(), v.from())
	v.answer(c, err)
}

func (v *visit) askWallet() {
	c, err := v.People.AskWallet(v.ctx, v.base(), v.from())
	v.answer(c, err)
}

// signed is what a wallet has signed, and its signature. Browsers end the lines of
// what a form sends with CR LF; the wallet has signed them with LF.
func (v *visit) signed() (message, signature string) {
	return strings.ReplaceAll(v.r.PostFormValue("message"), "\r\n", "\n"), v.r.PostFormValue("signature")
}

func (v *visit) walletSignIn() {
	message, signature := v.signed()
	token, _, err := v.People.SignInWithWallet(v.ctx, v.base(), message, signature, v.from())
	v.enterWith(token, v.r.PostFormValue("to"), formView{}, err)
}

func (v *visit) joinWallet() {
	message, signature := v.signed()
	address, err := v.People.JoinWallet(v.ctx, v.base(), message, signature)
	v.back("/console/you", "The wallet "+wallet(address)+" signs you in from now on.", err)
}

func (v *visit) removeWallet() {
	to := "/console/you"
	if v.r.PostFormValue("back") != "" {
		to = "/console/people"
	}
	v.back(to, "The wallet no longer signs anybody in. Whoever is signed in by it stays so until signed out.", v.People.RemoveWallet(v.ctx, v.r.PathValue("address")))
}

func (v *visit) addWallet() {
	person, typed := v.r.PostFormValue("person"), v.r.PostFormValue("address")
	address, err := v.People.AddWallet(v.ctx, person, typed)
	if err != nil {
		text, expected := sentence(err)
		if !expected {
			v.fail(err)
			return
		}
		v.showPeople(http.StatusUnprocessableEntity, peopleView{Wallet: walletForm{Error: text, Person: person, Typed: printable(typed)}})
		return
	}
	v.back("/console/people", "The wallet "+wallet(address)+" signs "+person+" in from now on.", nil)
}

// walletForm is the form in which an admin types an address.
type walletForm struct{ Error, Person, Typed string }
