package packaging

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests is what "kubectl apply -k" would send, by kind.
type manifests struct {
	namespaces   []*corev1.Namespace
	configMaps   map[string]*corev1.ConfigMap
	services     []*corev1.Service
	deployments  []*appsv1.Deployment
	statefulSets []*appsv1.StatefulSet
	budgets      []*policyv1.PodDisruptionBudget
	scalers      []*autoscalingv2.HorizontalPodAutoscaler
	policies     []*networkingv1.NetworkPolicy
	foreign      map[string]map[string]any // kinds that Kubernetes itself does not have
}

// build builds a kustomization as kubectl does, and decodes it strictly.
func build(t *testing.T, dir string) *manifests {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{configMaps: map[string]*corev1.ConfigMap{}, foreign: map[string]map[string]any{}}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		m.add(t, r.GetApiVersion()+" "+r.GetKind(), text)
		if r.GetKind() != "Namespace" && r.GetNamespace() != "streamgate" {
			t.Errorf("%s is in the namespace %q", r.CurId(), r.GetNamespace())
		}
	}
	return m
}

func (m *manifests) add(t *testing.T, kind string, text []byte) {
	t.Helper()
	switch kind {
	case "v1 Namespace":
		m.namespaces = append(m.namespaces, decode[corev1.Namespace](t, text))
	case "v1 ConfigMap":
		c := decode[corev1.ConfigMap](t, text)
		m.configMaps[c.Name] = c
	case "v1 Service":
		m.services = append(m.services, decode[corev1.Service](t, text))
	case "apps/v1 Deployment":
		m.deployments = append(m.deployments, decode[appsv1.Deployment](t, text))
	case "apps/v1 StatefulSet":
		m.statefulSets = append(m.statefulSets, decode[appsv1.StatefulSet](t, text))
	case "policy/v1 PodDisruptionBudget":
		m.budgets = append(m.budgets, decode[policyv1.PodDisruptionBudget](t, text))
	case "autoscaling/v2 HorizontalPodAutoscaler":
		m.scalers = append(m.scalers, decode[autoscalingv2.HorizontalPodAutoscaler](t, text))
	case "networking.k8s.io/v1 NetworkPolicy":
		m.policies = append(m.policies, decode[networkingv1.NetworkPolicy](t, text))
	default:
		m.foreign[kind] = *decode[map[string]any](t, text)
	}
}

// decode reads a manifest; a field that its type does not have fails the test.
func decode[T any](t *testing.T, text []byte) *T {
	t.Helper()
	var out T
	if err := yaml.UnmarshalStrict(text, &out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &out
}

// workload is what has pods.
type workload struct {
	name     string
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
	claims   []string // volumes that come with each pod
}

func (m *manifests) workloads() (out []workload) {
	for _, d := range m.deployments {
		out = append(out, workload{d.Name, d.Spec.Selector, d.Spec.Template, nil})
	}
	for _, s := range m.statefulSets {
		w := workload{s.Name, s.Spec.Selector, s.Spec.Template, nil}
		for _, c := range s.Spec.VolumeClaimTemplates {
			w.claims = append(w.claims, c.Name)
		}
		out = append(out, w)
	}
	return out
}

// roles are those of the product: one workload each.
var roles = []string{"api-gateway", "metadata", "monitor", "streaming", "transcoder", "upload"}

// handMade are the secrets that the operator makes, and their keys.
var handMade = map[string][]string{
	"streamgate-servers": {"records", "cache", "media", "registry"},
	"streamgate-join":    {"token"},
}

func TestKubernetes(t *testing.T) {
	readme := string(read(t, "../../README.md"))
	for secret := range handMade {
		if !strings.Contains(readme, secret) {
			t.Errorf("nobody is told to make the secret %s", secret)
		}
	}
	for _, dir := range []string{"../k8s/base", "../k8s/keda"} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := build(t, dir)
			var names []string
			for _, w := range m.workloads() {
				names = append(names, w.name)
				m.checkPods(t, w)
			}
			slices.Sort(names)
			if !slices.Equal(names, roles) || len(m.namespaces) != 1 {
				t.Errorf("workloads %v, want one for each of %v; %d namespaces", names, roles, len(m.namespaces))
			}
			m.checkSelectors(t)
			for _, c := range m.configMaps {
				checkEnv(t, c.Data)
			}
		})
	}
}

// checkPods: what a pod refers to is there, and its probes have a port.
func (m *manifests) checkPods(t *testing.T, w workload) {
	t.Helper()
	if s, err := metav1.LabelSelectorAsSelector(w.selector); err != nil || s.Empty() || !s.Matches(labels.Set(w.pod.Labels)) {
		t.Errorf("%s does not select its own pods: %v, %v", w.name, s, err)
	}
	spec := w.pod.Spec
	volumes := slices.Clone(w.claims)
	for _, v := range spec.Volumes {
		volumes = append(volumes, v.Name)
		if v.Secret != nil && handMade[v.Secret.SecretName] == nil {
			t.Errorf("%s: nobody makes the secret %s", w.name, v.Secret.SecretName)
		}
	}
	if spec.SecurityContext == nil || spec.SecurityContext.RunAsNonRoot == nil || !*spec.SecurityContext.RunAsNonRoot {
		t.Errorf("%s may run as root", w.name)
	}
	if got := w.pod.Annotations["prometheus.io/port"]; got != "6060" {
		t.Errorf("%s: Prometheus is sent to port %q", w.name, got)
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		m.checkContainer(t, w, c, volumes)
	}
	for _, c := range spec.Containers {
		if c.Image != "streamgate:"+w.name {
			t.Errorf("%s runs %s", w.name, c.Image)
		}
		for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			path := map[string]string{"readiness": "/readyz"}[name]
			if path == "" {
				path = "/healthz"
			}
			if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || !hasPort(c, p.HTTPGet.Port) {
				t.Errorf("%s: its %s probe is %v", w.name, name, p)
			}
		}
	}
}

func (m *manifests) checkContainer(t *testing.T, w workload, c corev1.Container, volumes []string) {
	t.Helper()
	mounted := map[string]string{} // paths by volume
	for _, v := range c.VolumeMounts {
		mounted[v.Name] = v.MountPath
		if !slices.Contains(volumes, v.Name) {
			t.Errorf("%s: there is no volume %s", w.name, v.Name)
		}
	}
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil || m.configMaps[from.ConfigMapRef.Name] == nil {
			t.Errorf("%s: there is no %v", w.name, from)
			continue
		}
		for name, value := range m.configMaps[from.ConfigMapRef.Name].Data {
			env[name] = value
		}
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	checkEnv(t, env)
	for name, value := range env {
		if !strings.HasSuffix(name, "_FILE") {
			continue
		}
		mount, known := map[string]string{"servers": "streamgate-servers", "join": "streamgate-join"}, false
		for volume, secret := range mount {
			known = known || filepath.Dir(value) == mounted[volume] && slices.Contains(handMade[secret], filepath.Base(value))
		}
		if !known {
			t.Errorf("%s: %s=%s is in no secret that is mounted", w.name, name, value)
		}
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		t.Errorf("%s: the container %s may write its root, or become more than it is", w.name, c.Name)
	}
}

func hasPort(c corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal
	})
}

// selected are the workloads whose pods have these labels.
func (m *manifests) selected(t *testing.T, selector *metav1.LabelSelector) (out []workload) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || s.Empty() {
		t.Errorf("selector %v: %v", selector, err)
		return nil
	}
	for _, w := range m.workloads() {
		if s.Matches(labels.Set(w.pod.Labels)) {
			out = append(out, w)
		}
	}
	return out
}

// checkSelectors: services, budgets, scalers and policies mean something that is
// there, and ports that it has.
func (m *manifests) checkSelectors(t *testing.T) {
	t.Helper()
	for _, s := range m.services {
		pods := m.selected(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		if len(pods) != 1 {
			t.Errorf("service %s selects %d workloads", s.Name, len(pods))
			continue
		}
		for _, p := range s.Spec.Ports {
			if !hasPort(pods[0].pod.Spec.Containers[0], p.TargetPort) {
				t.Errorf("service %s: %s has no port %s", s.Name, pods[0].name, p.TargetPort.String())
			}
		}
	}
	for _, s := range m.statefulSets {
		if !slices.ContainsFunc(m.services, func(v *corev1.Service) bool { return v.Name == s.Spec.ServiceName && v.Spec.ClusterIP == "None" }) {
			t.Errorf("%s has no headless service %s", s.Name, s.Spec.ServiceName)
		}
	}
	for _, b := range m.budgets {
		if n := len(m.selected(t, b.Spec.Selector)); n != 1 {
			t.Errorf("the disruption budget %s selects %d workloads", b.Name, n)
		}
	}
	for _, d := range m.deployments { // a budget of a single pod would only keep its machine from being emptied
		several := d.Spec.Replicas == nil || *d.Spec.Replicas > 1
		has := slices.ContainsFunc(m.budgets, func(b *policyv1.PodDisruptionBudget) bool { return b.Name == d.Name })
		if several != has {
			t.Errorf("%s: it has a disruption budget: %v", d.Name, has)
		}
	}
	for _, p := range m.policies {
		pods := m.selected(t, &p.Spec.PodSelector)
		if len(pods) == 0 {
			t.Errorf("the network policy %s selects nothing", p.Name)
		}
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if !slices.ContainsFunc(pods, func(w workload) bool { return hasPort(w.pod.Spec.Containers[0], *port.Port) }) {
					t.Errorf("the network policy %s opens port %s, on which nobody listens", p.Name, port.Port)
				}
			}
		}
	}
}

// queueLength is the number of waiting tasks, which the monitor role tells: see
// TestQueueMetrics in package node.
const queueLength = "streamgate_transcoder_queue_length"

// TestScaling: transcoders are scaled by what the monitor tells of the queue; with
// KEDA by its scaler in place of the other.
func TestScaling(t *testing.T) {
	base, keda := build(t, "../k8s/base"), build(t, "../k8s/keda")
	if len(base.scalers) != 1 || len(keda.scalers) != 0 || len(base.foreign) != 0 || len(keda.foreign) != 1 {
		t.Fatalf("%d and %d autoscalers, %d and %d kinds of others", len(base.scalers), len(keda.scalers), len(base.foreign), len(keda.foreign))
	}
	scaler := base.scalers[0]
	if to := scaler.Spec.ScaleTargetRef; to.APIVersion != "apps/v1" || to.Kind != "Deployment" || to.Name != "transcoder" {
		t.Errorf("it scales %+v", to)
	}
	for _, d := range base.deployments {
		if d.Name == "transcoder" && d.Spec.Replicas != nil {
			t.Error("each apply would undo what the autoscaler has done: leave spec.replicas out")
		}
	}
	metric := scaler.Spec.Metrics[0]
	if len(scaler.Spec.Metrics) != 1 || metric.External == nil || metric.External.Metric.Name != queueLength {
		t.Errorf("it scales by %+v", scaler.Spec.Metrics)
	}
	adapter := string(read(t, "../k8s/prometheus-adapter.yaml"))
	for _, want := range []string{queueLength, "max("} {
		if !strings.Contains(adapter, want) {
			t.Errorf("prometheus-adapter.yaml lacks %s", want)
		}
	}
	object := keda.foreign["keda.sh/v1alpha1 ScaledObject"]
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"valueLocation: " + queueLength, "url: http://monitor.streamgate.svc:6060/metrics", "name: transcoder", "format: prometheus"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("KEDA's object lacks %q:\n%s", want, text)
		}
	}
	if !slices.ContainsFunc(base.services, func(s *corev1.Service) bool { return s.Name == "monitor" && s.Spec.Ports[0].Port == 6060 }) {
		t.Error("there is no service monitor with port 6060")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
