package node

import (
	"bytes"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"

	pages "streamgate/ui/console"
)

// settings are every key that is in force, beside its default, secrets redacted.
func (k *Kernel) settings() []pages.Setting {
	inForce, usual := flat(k.InForce()), flat(Default())
	keys := make([]string, 0, len(inForce))
	for key := range inForce {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var out []pages.Setting
	for _, key := range keys {
		s := pages.Setting{Key: key, Value: inForce[key], Default: usual[key], Source: "default"}
		if s.Value != s.Default {
			s.Source = "configuration"
		}
		out = append(out, s)
	}
	return out
}

// flat is a configuration as dotted keys.
func flat(c *Config) map[string]string {
	var buf bytes.Buffer
	var root yaml.Node
	out := map[string]string{}
	if c.Print(&buf) != nil || yaml.Unmarshal(buf.Bytes(), &root) != nil || len(root.Content) == 0 {
		return out
	}
	flatten("", root.Content[0], out)
	return out
}

func flatten(prefix string, n *yaml.Node, out map[string]string) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		out[prefix] = inline(n)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		flatten(strings.TrimPrefix(prefix+"."+n.Content[i].Value, "."), n.Content[i+1], out)
	}
}

// inline writes a node on one line.
func inline(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	flow(n)
	text, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

func flow(n *yaml.Node) {
	n.Style = yaml.FlowStyle
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode {
			flow(c)
		}
	}
}

// chainStates read how the chains' endpoints are from the node's own metrics.
func (k *Kernel) chainStates() []pages.ChainState {
	families, err := k.Metrics.Gather()
	if err != nil {
		k.Log.Warn("read the metrics for the console", "err", err)
		return nil
	}
	found := map[[2]string]*pages.ChainState{}
	var order [][2]string
	of := func(m *dto.Metric) *pages.ChainState {
		var at [2]string
		for _, l := range m.Label {
			switch l.GetName() {
			case "chain":
				at[0] = l.GetValue()
			case "endpoint":
				at[1] = l.GetValue()
			}
		}
		if found[at] == nil {
			found[at] = &pages.ChainState{Chain: at[0], Endpoint: at[1]}
			order = append(order, at)
		}
		return found[at]
	}
	for _, f := range families {
		for _, m := range f.Metric {
			switch f.GetName() {
			case "streamgate_access_rpc_up":
				of(m).Up = m.Gauge.GetValue() == 1
			case "streamgate_access_rpc_seconds":
				s, h := of(m), m.Histogram
				if s.Requests = h.GetSampleCount(); s.Requests > 0 {
					s.MeanSeconds = h.GetSampleSum() / float64(s.Requests)
				}
			case "streamgate_access_rpc_errors_total":
				of(m).Errors += m.Counter.GetValue()
			}
		}
	}
	var out []pages.ChainState
	for _, at := range order {
		out = append(out, *found[at])
	}
	return out
}
