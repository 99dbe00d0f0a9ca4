// Package rpc is the one schema (streamgate.proto), its generated code, and
// what every service needs to speak it.
//
// # What
//
//	errors.go    the errors that may leave the node, each with a stable reason
//	problem.go   how HTTP shows them (RFC 9457)
//	identity.go  who calls, and what that allows
//	fields.go    the checks of fields that several requests have
//	trace.go     the id under which an unexpected error is logged; how traces travel
//	handler.go   what every handler is made with; codec.go, its JSON
//
// # Usage
//
//	func (s *Service) GetVideo(ctx context.Context, req *rpc.GetVideoRequest) (*rpc.Video, error) {
//		if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
//			return nil, err
//		}
//		v, err := s.Catalog.Videos.Get(ctx, req.Id)
//		if err != nil {
//			return nil, rpc.NotFound(err, "video", req.Id)
//		}
//		…
//
// # Guarantees
//
// connect-go's simple mode gives client and handler the same methods, so a
// service value is its own in-process client: whoever needs a service takes
// its generated Client interface and cannot tell whether the peer is here or
// on another node. Because a direct call passes no interceptor, authorisation
// (Require) and coded errors sit in the services themselves. A message is
// immutable once it is handed over. An error without a reason is shown as
// "internal" and logged once.
//
// # Testing
//
// Fields, problems and codec here; the handlers through package gateway.
package rpc

//go:generate make -C ../.. generate-rpc
