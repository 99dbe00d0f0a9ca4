package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"streamgate/app/rpc"
)

// routes tells which methods a path takes.
type routes struct {
	rest  []route  // as openapi.json has them
	mount []string // "/streamgate.Library/"
}

// route is one path of the API.
type route struct {
	path    *regexp.Regexp
	methods []string
}

// restRoutes reads the paths under /api of an OpenAPI document.
func restRoutes(doc []byte) ([]route, error) {
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(doc, &api); err != nil {
		return nil, fmt.Errorf("read openapi.json: %w", err)
	}
	var out []route
	for path, item := range api.Paths {
		if !strings.HasPrefix(path, "/api/") {
			continue
		}
		expr, err := regexp.Compile("^" + pathVariable.ReplaceAllString(regexp.QuoteMeta(path), "(?P<$1>[^/:]+)") + "$")
		if err != nil {
			return nil, fmt.Errorf("path %s of openapi.json: %w", path, err)
		}
		out = append(out, route{expr, methodsOf(item)})
	}
	return out, nil
}

var pathVariable = regexp.MustCompile(`\\\{([a-z_]+)\\\}`)

// methodsOf lists a path item's methods, in HTTP's usual order.
func methodsOf(item map[string]json.RawMessage) (methods []string) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		_, own := item[strings.ToLower(m)]
		_, get := item["get"]
		if own || m == http.MethodHead && get {
			methods = append(methods, m)
		}
	}
	return append(methods, http.MethodOptions)
}

// allow lists the methods of a path; none if there is no such path.
func (r routes) allow(path string) []string {
	var methods []string
	for _, rt := range r.rest {
		if rt.path.MatchString(path) {
			methods = append(methods, rt.methods...)
		}
	}
	if path == "/openapi.json" {
		methods = []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	}
	if len(methods) == 0 {
		return r.allowRPC(path)
	}
	return slices.Compact(methods)
}

// allowRPC lists the methods of a procedure's path. What reflection and health
// offer is known to them alone.
func (r routes) allowRPC(path string) []string {
	i := slices.IndexFunc(r.mount, func(m string) bool { return strings.HasPrefix(path, m) })
	if i < 0 {
		return nil
	}
	post := []string{http.MethodPost, http.MethodOptions}
	services := rpc.File_streamgate_proto.Services()
	service := services.ByName(protoreflect.FullName(strings.Trim(r.mount[i], "/")).Name())
	if service == nil || string(service.FullName()) != strings.Trim(r.mount[i], "/") {
		return post
	}
	method := service.Methods().ByName(protoreflect.Name(strings.TrimPrefix(path, r.mount[i])))
	if method == nil {
		return nil
	}
	if o, ok := method.Options().(*descriptorpb.MethodOptions); ok &&
		o.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		return append([]string{http.MethodGet}, post...)
	}
	return post
}

// options answers OPTIONS, a browser's preflight or not: with what the path
// takes, to everybody. Handlers with more to say (tus) say it themselves.
func (e *edge) options(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		methods := e.routes.allow(r.URL.Path)
		if methods == nil {
			rpc.WriteStatus(w, r, http.StatusNotFound, "route_not_found", "There is no such path; /openapi.json lists them.")
			return
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		preflight := r.Header.Get("Access-Control-Request-Method") != ""
		if own := e.ownOptions[mountOf(r.URL.Path)]; own != nil && !preflight {
			own.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// mountOf is the pattern under which a path's own handler is mounted.
func mountOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); strings.Count(path, "/") > 3 {
		return path[:i+1]
	}
	return path
}
