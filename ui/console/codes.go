package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"streamgate/app/rpc"
)

// codesView is the ticket codes by pool. Made are new ones, which are shown this
// once.
type codesView struct {
	Pools []poolRow
	More  bool // codes than were counted
	Made  []string
	Form  codesForm
}

// poolRow is the codes of one pool.
type poolRow struct {
	Name, Path, Codes, Used, Words string
	Newest                         stamp
}

// codesForm is what somebody types about new codes, and what is wrong with it.
type codesForm struct {
	Pool, Count                  string
	PoolError, CountError, Error string
}

// blame writes an error where it belongs; it tells whether that is a mistake of
// who typed.
func (f *codesForm) blame(err error) bool {
	text, expected := sentence(err)
	switch reason, _ := rpc.Reason(err); reason {
	case "invalid_pool":
		f.PoolError = text
	case "invalid_count":
		f.CountError = text
	default:
		f.Error = text
	}
	return expected
}

func (v *visit) codes() { v.showCodes(http.StatusOK, codesView{Form: codesForm{Count: "10"}}) }

func (v *visit) showCodes(status int, view codesView) {
	list, err := v.Access.ListCodes(v.ctx, &rpc.ListCodesRequest{})
	if err != nil {
		v.fail(err)
		return
	}
	view.More = list.More
	for _, p := range list.Pools {
		view.Pools = append(view.Pools, poolRow{
			printable(p.Pool), codesPath + "/" + url.PathEscape(p.Pool) + "/delete", strconv.Itoa(int(p.Codes)), strconv.Itoa(int(p.Used)),
			many(int(p.Codes), "code", "codes"), agoOf(p.CreatedAt),
		})
	}
	v.page(status, "Ticket codes", accessPath, codesPage(view))
}

// createCodes answers with the page itself: the codes are shown once, and kept
// nowhere from which a redirect could show them.
func (v *visit) createCodes() {
	pool, typed := strings.TrimSpace(v.r.PostFormValue("pool")), strings.TrimSpace(v.r.PostFormValue("count"))
	view := codesView{Form: codesForm{Pool: printable(pool), Count: printable(typed)}}
	made, err := v.makeCodes(pool, typed)
	if err != nil {
		if !view.Form.blame(err) {
			v.fail(err)
			return
		}
		v.showCodes(http.StatusUnprocessableEntity, view)
		return
	}
	view.Made = made.Codes
	v.showCodes(http.StatusOK, view)
}

func (v *visit) makeCodes(pool, typed string) (*rpc.Codes, error) {
	count, err := strconv.ParseInt(typed, 10, 32)
	if err != nil || count < 1 {
		return nil, rpc.Invalid("invalid_count", "The count is %.20q; it must be a number from 1 to 1000.", typed)
	}
	return v.Access.CreateCodes(v.ctx, &rpc.CreateCodesRequest{Pool: pool, Count: int32(count)})
}

func (v *visit) deleteCodes() {
	_, err := v.Access.DeleteCodes(v.ctx, &rpc.DeleteCodesRequest{Pool: v.r.PathValue("pool")})
	v.back(codesPath, "The codes of the pool have ended, and every session that one of them had opened.", err)
}
