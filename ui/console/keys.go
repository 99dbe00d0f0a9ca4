package console

import (
	"net/http"

	"streamgate/app/rpc"
)

// keysView is the API keys. Made is a new key, which is shown this once.
type keysView struct {
	Keys              []keyRow
	Made, Error, Name string
}

type keyRow struct {
	ID, Name, Scope string
	Created         stamp
}

// scopes are what a key may be good for.
var scopes = []struct{ value, word string }{
	{"read", "read: look"}, {"uploader", "uploader: upload as well"}, {"operator", "operator: run the node"}, {"admin", "admin: everything"},
}

func (v *visit) keys() { v.showKeys(http.StatusOK, keysView{}) }

func (v *visit) showKeys(status int, view keysView) {
	list, err := v.Access.ListKeys(v.ctx, &rpc.ListKeysRequest{})
	if err != nil {
		v.fail(err)
		return
	}
	for _, k := range list.Keys {
		view.Keys = append(view.Keys, keyRow{k.Id, printable(k.Name), k.Scope, agoOf(k.CreatedAt)})
	}
	v.page(status, "Keys", "/console/keys", keysPage(view))
}

// createKey answers with the page itself: the key is shown once, and kept nowhere
// from which a redirect could show it.
func (v *visit) createKey() {
	view := keysView{Name: v.r.PostFormValue("name")}
	key, err := v.Access.CreateKey(v.ctx, &rpc.CreateKeyRequest{Name: view.Name, Scope: v.r.PostFormValue("scope")})
	if err != nil {
		view.Error, _ = sentence(err)
		v.showKeys(http.StatusUnprocessableEntity, view)
		return
	}
	view.Name, view.Made = "", key.Secret
	v.showKeys(http.StatusOK, view)
}

func (v *visit) revokeKey() {
	_, err := v.Access.RevokeKey(v.ctx, &rpc.RevokeKeyRequest{Id: v.r.PathValue("id")})
	v.back("/console/keys", "The key is revoked, and the sessions that it made are ended.", err)
}
