package node

import "context"

// publicServer is the name of the server on api_gateway.port.
const publicServer = "public"

// public serves the Kernel's Mux on the public port, and the console on its own
// if it has one. It is the last part of
// the table: accepting begins when all is ready, and ends first.
type public struct{}

func (public) Name() string { return publicServer }

func (public) Start(ctx context.Context, k *Kernel) error {
	gateway := &k.Config.APIGateway
	if k.ownConsole != nil {
		err := k.Serve(ctx, Server{Name: consoleServer, Key: "console.listen", Addr: k.Config.Console.Listen, Handler: k.ownConsole})
		if err != nil {
			return err
		}
	}
	return k.Serve(ctx, Server{
		Name: publicServer, Key: "api_gateway.port", Addr: gateway.addr(gateway.Port), Handler: k.Mux,
	})
}

func (public) Stop(context.Context) error { return nil }
