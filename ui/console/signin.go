package console

import (
	"net/http"
	"strings"
)

// formView is a form that was sent and refused, or is new.
type formView struct {
	Name, Error, To, Token string
	Reset                  bool   // of an admin who is locked out
	Origin                 string // of passkeys, "" if there are none
	Wallets                bool   // some may sign in
}

func (v *visit) setup() {
	token := v.r.FormValue("token")
	link, err := v.People.CheckSetup(v.ctx, token)
	if err != nil {
		v.fail(err)
		return
	}
	v.bare(http.StatusOK, "Set up", setupPage(formView{Token: token, Reset: link.Reset}))
}

func (v *visit) doSetup() {
	form := formView{Name: tidyName(v.r.PostFormValue("name")), Token: v.r.PostFormValue("token")}
	if link, err := v.People.CheckSetup(v.ctx, form.Token); err == nil {
		form.Reset = link.Reset
	}
	password := v.r.PostFormValue("password")
	if password != v.r.PostFormValue("again") {
		form.Error = "The two passwords differ."
		v.bare(http.StatusUnprocessableEntity, "Set up", setupPage(form))
		return
	}
	if err := v.People.Setup(v.ctx, form.Token, form.Name, password); err != nil {
		form.Error, _ = sentence(err)
		v.bare(http.StatusUnprocessableEntity, "Set up", setupPage(form))
		return
	}
	v.begin(form, password)
}

func (v *visit) signIn() {
	if v.person.Name != "" {
		v.redirect(local(v.r.FormValue("to")))
		return
	}
	v.showSignIn(http.StatusOK, formView{To: local(v.r.FormValue("to"))})
}

func (v *visit) showSignIn(status int, form formView) {
	form.Origin, _ = v.passkeySite()
	form.Wallets = v.walletsUsable() == ""
	v.bareWith(status, "Sign in", signInPage(form), signScripts...)
}

// signScripts are the ways in without a password, wallets last.
var signScripts = []string{"passkeys.js", "api.js", "wallet.js", "consolewallet.js"}

func (v *visit) doSignIn() {
	v.begin(formView{Name: tidyName(v.r.PostFormValue("name")), To: v.r.PostFormValue("to")}, v.r.PostFormValue("password"))
}

// begin signs in with a password.
func (v *visit) begin(form formView, password string) {
	token, _, err := v.People.SignIn(v.ctx, form.Name, password, v.from())
	v.enterWith(token, form.To, form, err)
}

func (v *visit) signOut() {
	if err := v.People.SignOut(v.ctx, v.cookieValue(v.r, cookieName)); err != nil {
		v.fail(err)
		return
	}
	http.SetCookie(v.w, v.cookie(v.r, cookieName, "", -1))
	v.flash(said{Text: "You have signed out."})
	v.redirect("/console/sign-in")
}

func tidyName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
