package node

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// routeTLSLimit bounds the handshake of a route.
const routeTLSLimit = 5 * time.Second

// busOptions are those of the embedded server. In a cluster it also listens for
// clients, on a port of 127.0.0.1 that the kernel picks: its routes do not begin
// without. Whoever has no certificate of the deployment gets in by neither.
func (k *Kernel) busOptions() (*server.Options, error) {
	options := &server.Options{
		ServerName: k.NodeID + "-" + k.BootID, DontListen: true, NoLog: true, NoSigs: true, NoSystemAccount: true,
	}
	if !k.clustered() {
		return options, nil
	}
	host, port, err := splitPort(k.Config.Cluster.Events)
	if err != nil {
		return nil, fmt.Errorf("cluster.events: %w", err)
	}
	options.DontListen, options.Host, options.Port = false, "127.0.0.1", server.RANDOM_PORT
	options.TLS, options.TLSVerify, options.TLSConfig, options.TLSTimeout = true, true, k.identity.RouteTLS(), routeTLSLimit.Seconds()
	options.Cluster = server.ClusterOpts{
		Name: "streamgate", Host: host, Port: port, NoAdvertise: true,
		TLSConfig: k.identity.RouteTLS(), TLSTimeout: routeTLSLimit.Seconds(),
	}
	if port == 0 {
		options.Cluster.Port = server.RANDOM_PORT
	}
	if outside := k.Config.Cluster.AdvertiseHost; outside != "" && port != 0 {
		options.Cluster.Advertise = net.JoinHostPort(outside, strconv.Itoa(port))
	}
	options.Routes = k.otherBuses()
	return options, nil
}

func splitPort(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// otherBuses are the routes of the nodes that the registry knows.
func (k *Kernel) otherBuses() []*url.URL {
	var routes []*url.URL
	for _, i := range k.Registry.Instances() {
		if i.ID != k.NodeID && i.Events != "" {
			routes = append(routes, &url.URL{Scheme: "nats-route", Host: i.Events})
		}
	}
	return routes
}

// followRoutes keeps routes to every node of the registry.
func (k *Kernel) followRoutes(ctx context.Context, srv *server.Server, options *server.Options) error {
	for {
		changed := k.Registry.Changed()
		next := k.otherBuses()
		if !sameRoutes(next, options.Routes) {
			reloaded := options.Clone()
			reloaded.Routes = next
			if err := srv.ReloadOptions(reloaded); err != nil {
				k.Log.Error("the event bus could not follow the registry; events arrive late until it can", "err", err)
			} else {
				options = reloaded
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func sameRoutes(a, b []*url.URL) bool {
	return slices.EqualFunc(a, b, func(x, y *url.URL) bool { return *x == *y })
}
