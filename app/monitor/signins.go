package monitor

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"streamgate/app/rpc"
)

const signInsFamily = "streamgate_access_sign_ins_total"

// CountSignIns returns access with the sign-ins of wallets counted.
func CountSignIns(c rpc.AccessClient, reg prometheus.Registerer) (rpc.AccessClient, error) {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{Name: signInsFamily,
		Help: "Sign-ins of wallets by result: admitted, refused."}, []string{"result"})
	return &signIns{c, count.WithLabelValues("admitted"), count.WithLabelValues("refused")}, reg.Register(count)
}

type signIns struct {
	rpc.AccessClient
	admitted, refused prometheus.Counter
}

// SignIn implements rpc.AccessClient.
func (s *signIns) SignIn(ctx context.Context, req *rpc.SignInRequest) (*rpc.Login, error) {
	out, err := s.AccessClient.SignIn(ctx, req)
	if err == nil {
		s.admitted.Inc()
	} else {
		s.refused.Inc()
	}
	return out, err
}
