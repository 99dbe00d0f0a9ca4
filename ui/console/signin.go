package console

import (
	"net/http"
	"strings"

	"streamgate/app/console"
)

// formView is a form that was sent and refused, or is new.
type formView struct {
	Name, Error, To, Token string
	Reset                  bool // of an admin who is locked out
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
	v.bare(http.StatusOK, "Sign in", signInPage(formView{To: local(v.r.FormValue("to"))}))
}

func (v *visit) doSignIn() {
	v.begin(formView{Name: tidyName(v.r.PostFormValue("name")), To: v.r.PostFormValue("to")}, v.r.PostFormValue("password"))
}

// begin signs in. The token is always a new one: none that a browser brought
// along becomes a session.
func (v *visit) begin(form formView, password string) {
	form.To = local(form.To)
	token, _, err := v.People.SignIn(v.ctx, form.Name, password, console.From{Client: v.client(v.r), Agent: v.r.UserAgent()})
	if err != nil {
		var expected bool
		if form.Error, expected = sentence(err); !expected {
			v.Log.Error("sign in to the console", "err", err)
		}
		v.bare(http.StatusUnauthorized, "Sign in", signInPage(form))
		return
	}
	http.SetCookie(v.w, v.cookie(v.r, cookieName, token, 0))
	v.redirect(form.To)
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
