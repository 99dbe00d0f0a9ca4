package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSetupLink: it makes the first admin; then there is none to make, but one
// who is locked out is let in again.
func TestSetupLink(t *testing.T) {
	dir, _ := startNode(t)
	visit := func(link, password string) (status int) {
		at, err := url.Parse(strings.TrimSpace(link))
		if err != nil {
			t.Fatal(err)
		}
		form := url.Values{"token": {at.Query().Get("token")}, "name": {"ada"}, "password": {password}, "again": {password}}
		at.RawQuery = ""
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := client.PostForm(at.String(), form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	first := runCommand(t, nil, "setup-link", "--data", dir)
	second := runCommand(t, nil, "setup-link", "--data", dir)
	if first.code != 0 || second.code != 0 || first.out == second.out {
		t.Fatalf("%+v, %+v", first, second)
	}
	if status := visit(first.out, "one of the passwords"); status != http.StatusUnprocessableEntity {
		t.Errorf("a link that was replaced: %d", status)
	}
	if status := visit(second.out, "one of the passwords"); status != http.StatusSeeOther {
		t.Errorf("the link: %d", status)
	}
	if got := runCommand(t, nil, "setup-link", "--data", dir); got.code != exitFailure || !strings.Contains(got.stderr, "has an admin already, ada") {
		t.Errorf("with an admin: %+v", got)
	}
	reset := runCommand(t, nil, "setup-link", "--reset", "--data", dir)
	if status := visit(reset.out, "quite another password"); reset.code != 0 || status != http.StatusSeeOther {
		t.Errorf("reset: %+v, %d", reset, status)
	}
}

// TestSetupLinkElsewhere: without a node there is none to make.
func TestSetupLinkElsewhere(t *testing.T) {
	if got := runCommand(t, nil, "setup-link", "--data", t.TempDir()); got.code != exitFailure || !strings.Contains(got.stderr, "no node is running") {
		t.Errorf("%+v", got)
	}
}
