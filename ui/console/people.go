package console

import (
	"net/http"
	"slices"

	"streamgate/app/console"
	"streamgate/store"
)

// peopleView is who may use the console.
type peopleView struct {
	People   []personRow
	Sessions []visitRow
	Error    string
	Name     string
	Self     string

	Wallets   []walletRow // everybody's
	NoWallets string      // why none can sign in
	Others    []string    // people whose wallets one may type
	Wallet    walletForm
}

type personRow struct {
	Name, Role string
	Created    stamp
}

// visitRow is a browser that has signed in.
type visitRow struct {
	ID, Person, Agent, Client string
	Began, Seen               stamp
	This                      bool
}

func (v *visit) people() { v.showPeople(http.StatusOK, peopleView{}) }

func (v *visit) showPeople(status int, view peopleView) {
	people, err := v.People.People(v.ctx)
	if err != nil {
		v.fail(err)
		return
	}
	for _, p := range people {
		view.People = append(view.People, personRow{p.Name, p.Role, ago(p.Created)})
		if p.Name != v.person.Name {
			view.Others = append(view.Others, p.Name)
		}
	}
	wallets, err := v.People.PersonWallets(v.ctx, "")
	if err != nil {
		v.fail(err)
		return
	}
	view.Wallets, view.NoWallets = newWalletRows(wallets), v.walletsUsable()
	if view.Sessions, err = v.visits(); err != nil {
		v.fail(err)
		return
	}
	view.Self = v.person.Name
	v.page(status, "People", "/console/people", peoplePage(view))
}

func (v *visit) visits() (rows []visitRow, err error) {
	sessions, err := v.People.Sessions(v.ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(sessions, func(a, b store.ConsoleSession) int { return b.Seen.Compare(a.Seen) })
	for _, s := range sessions {
		rows = append(rows, visitRow{
			ID: s.ID, Person: s.Person, Agent: printable(s.Agent), Client: s.Client,
			Began: ago(s.Created), Seen: ago(s.Seen), This: s.ID == v.session.ID,
		})
	}
	return rows, nil
}

func (v *visit) addPerson() {
	p := console.NewPerson{
		Name: tidyName(v.r.PostFormValue("name")), Role: console.Role(v.r.PostFormValue("role")), Password: v.r.PostFormValue("password"),
	}
	if err := v.People.Add(v.ctx, p); err != nil {
		text, expected := sentence(err)
		if !expected {
			v.fail(err)
			return
		}
		v.showPeople(http.StatusUnprocessableEntity, peopleView{Error: text, Name: p.Name})
		return
	}
	v.back("/console/people", p.Name+" may sign in now.", nil)
}

func (v *visit) changePerson() {
	const to = "/console/people"
	name := v.r.PathValue("name")
	switch v.r.PostFormValue("do") {
	case "role":
		role := v.r.PostFormValue("role")
		v.back(to, name+" has the role "+role+" from now on.", v.People.SetRole(v.ctx, name, console.Role(role)))
	case "remove":
		v.back(to, name+" may no longer sign in, and is signed out.", v.People.Remove(v.ctx, name))
	default:
		v.refuse(http.StatusBadRequest, "There is no such action", "Go back and try again.")
	}
}

// youView is one's own password and sessions.
type youView struct {
	Name, Role, Error  string
	Sessions           []visitRow
	Passkeys           []passkeyRow
	Origin, NoPasskeys string // of passkeys, or why there can be none
	Wallets            []walletRow
	NoWallets          string // why none can sign in
}

func (v *visit) you() { v.showYou(http.StatusOK, "") }

func (v *visit) showYou(status int, problem string) {
	rows, err := v.visits()
	if err != nil {
		v.fail(err)
		return
	}
	rows = slices.DeleteFunc(rows, func(r visitRow) bool { return r.Person != v.person.Name })
	view := youView{Name: v.person.Name, Role: v.person.Role, Error: problem, Sessions: rows}
	if view.Passkeys, err = v.passkeyRows(); err != nil {
		v.fail(err)
		return
	}
	view.Origin, view.NoPasskeys = v.passkeySite()
	wallets, err := v.People.PersonWallets(v.ctx, v.person.Name)
	if err != nil {
		v.fail(err)
		return
	}
	view.Wallets, view.NoWallets = newWalletRows(wallets), v.walletsUsable()
	v.page(status, "You", "", youPage(view), signScripts...)
}

func (v *visit) ownPassword() {
	if v.r.PostFormValue("password") != v.r.PostFormValue("again") {
		v.showYou(http.StatusUnprocessableEntity, "The two passwords differ.")
		return
	}
	if err := v.People.Confirm(v.ctx, v.person.Name, v.r.PostFormValue("old")); err != nil {
		text, _ := sentence(err)
		v.showYou(http.StatusUnprocessableEntity, text)
		return
	}
	if err := v.People.SetPassword(v.ctx, v.person.Name, v.r.PostFormValue("password")); err != nil {
		text, _ := sentence(err)
		v.showYou(http.StatusUnprocessableEntity, text)
		return
	}
	v.back("/console/you", "Your password is changed: sign in with it. Everywhere else you are signed out.", nil)
}

func (v *visit) endOwn() {
	to := "/console/you"
	if v.r.PostFormValue("back") != "" {
		to = "/console/people"
	}
	v.back(to, "That browser is signed out.", v.People.EndSession(v.ctx, v.r.PathValue("id")))
}
