package console

import (
	"encoding/json"
	"net/http"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// passkeyRow is one of a person's passkeys.
type passkeyRow struct {
	ID, Name      string
	Created, Used stamp
	Unused        bool
}

func (v *visit) passkeyRows() (rows []passkeyRow, err error) {
	list, err := v.People.Passkeys(v.ctx, v.person.Name)
	for _, p := range list {
		rows = append(rows, passkeyRow{p.ID, printable(p.Name), ago(p.Created), ago(p.Used), p.Used.IsZero()})
	}
	return rows, err
}

// passkeySite is the origin of passkeys, or why there are none.
func (v *visit) passkeySite() (origin, why string) {
	origin, err := v.People.PasskeyOrigin()
	if err != nil {
		why, _ = sentence(err)
	}
	return origin, why
}

func (v *visit) askPasskey() {
	c, err := v.People.AskPasskey(v.ctx)
	v.answer(c, err)
}

func (v *visit) askSignIn() {
	c, err := v.People.AskSignIn(v.ctx, v.from())
	v.answer(c, err)
}

// answer is for the page's script.
func (v *visit) answer(body any, err error) {
	if err != nil {
		rpc.WriteProblem(v.w, v.r, err)
		return
	}
	v.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(v.w).Encode(body) // the browser is gone if it fails
}

func (v *visit) addPasskey() {
	name := v.r.PostFormValue("name")
	err := v.People.AddPasskey(v.ctx, name, v.r.PostFormValue("ticket"), v.r.PostFormValue("answer"))
	v.back("/console/you", "The passkey “"+printable(name)+"” signs you in from now on.", err)
}

func (v *visit) removePasskey() {
	v.back("/console/you", "The passkey no longer signs you in.", v.People.RemovePasskey(v.ctx, v.r.PathValue("id")))
}

func (v *visit) passkeySignIn() {
	token, _, err := v.People.SignInWithPasskey(v.ctx, v.r.PostFormValue("ticket"), v.r.PostFormValue("answer"), v.from())
	v.enterWith(token, v.r.PostFormValue("to"), formView{}, err)
}

// from is where somebody signs in from.
func (v *visit) from() console.From {
	return console.From{Client: v.client(v.r), Agent: v.r.UserAgent()}
}

// enterWith ends a sign-in: with the token in a cookie, or with what is wrong.
// The token is always a new one: none that a browser brought along becomes a
// session.
func (v *visit) enterWith(token, to string, form formView, err error) {
	form.To = local(to)
	if err != nil {
		var expected bool
		if form.Error, expected = sentence(err); !expected {
			v.Log.Error("sign in to the console", "err", err)
		}
		v.showSignIn(http.StatusUnauthorized, form)
		return
	}
	http.SetCookie(v.w, v.cookie(v.r, cookieName, token, 0))
	v.redirect(form.To)
}
