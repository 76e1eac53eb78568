{{/* Names, labels, images. */}}

{{- define "virp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 36 characters: the longest suffix and the hash of a pod must still fit into 63. */}}
{{- define "virp.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "virp.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of a component's objects: list root component. */}}
{{- define "virp.component" -}}
{{- printf "%s-%s" (include "virp.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/* Selectors are immutable, so they hold nothing that an upgrade changes: list root component. */}}
{{- define "virp.selectorLabels" -}}
app.kubernetes.io/name: {{ include "virp.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "virp.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "virp.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: virp
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: those of the chart's version would restart them for nothing. */}}
{{- define "virp.podLabels" -}}
{{ include "virp.selectorLabels" . }}
app.kubernetes.io/part-of: virp
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: dict root component name [annotations]. */}}
{{- define "virp.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "virp.labels" (list .root .component) | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image: list root image-values. A digest wins over a tag; the tag is the appVersion when none is given. */}}
{{- define "virp.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := $image.registry | default ($root.Values.global).imageRegistry | default $root.Values.image.registry -}}
{{- $name := $image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" $registry $image.repository -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "virp.pullSecrets" -}}
{{- $names := list -}}
{{- range concat (($.Values.global).imagePullSecrets | default list) (.Values.image.pullSecrets | default list) -}}
{{- $names = append $names (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $names }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "virp.serviceAccountName" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $values := index . 2 -}}
{{- if $values.serviceAccount.create -}}
{{- $values.serviceAccount.name | default (include "virp.component" (list $root $component)) -}}
{{- else -}}
{{- $values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The account of `helm test`: one of its own where the certificate is the account's. */}}
{{- define "virp.testAccount" -}}
{{- if eq .Values.mtls.mode "csiDriverSpiffe" -}}{{- include "virp.component" (list . "test") -}}{{- else -}}default{{- end -}}
{{- end -}}

{{/* The rows of the platform's ports: component -> gRPC, admin. */}}
{{- define "virp.ports" -}}
onode: {grpc: 8443, admin: 9443}
collector: {grpc: 8444, admin: 9444}
keymgr: {grpc: 8445, admin: 9445}
rtr-bridge: {grpc: 8446, admin: 9446}
{{- end -}}

{{/* HOST:PORT for listening: list root port. */}}
{{- define "virp.listen" -}}
{{- printf "%s:%v" ((index . 0).Values.listenAddress) (index . 1) -}}
{{- end -}}

{{/* Addresses of O-Nodes for the other services, one for each replica, by headless names. */}}
{{- define "virp.onodeAddresses" -}}
{{- $root := . -}}
{{- if .Values.onode.enabled -}}
{{- $name := include "virp.component" (list . "onode") -}}
{{- if eq .Values.onode.kind "Deployment" -}}
{{- list (printf "%s.%s.svc:8443" $name .Release.Namespace) | toJson -}}
{{- else -}}
{{- $out := list -}}
{{- $max := int .Values.onode.replicas -}}
{{- if .Values.onode.autoscaling.enabled -}}{{- $max = int .Values.onode.autoscaling.maxReplicas -}}{{- end -}}
{{- range $i := until (max $max 1 | int) -}}
{{- $out = append $out (printf "%s-%d.%s-headless.%s.svc:8443" $name $i $name $root.Release.Namespace) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}
{{- else -}}
{{- .Values.external.onodes | toJson -}}
{{- end -}}
{{- end -}}

{{- define "virp.keymgrAddresses" -}}
{{- $root := . -}}
{{- if .Values.keymgr.enabled -}}
{{- $name := include "virp.component" (list . "keymgr") -}}
{{- if eq .Values.keymgr.kind "Deployment" -}}
{{- list (printf "%s.%s.svc:8445" $name .Release.Namespace) | toJson -}}
{{- else -}}
{{- $out := list -}}
{{- range $i := until (max (int .Values.keymgr.replicas) 1 | int) -}}
{{- $out = append $out (printf "%s-%d.%s-headless.%s.svc:8445" $name $i $name $root.Release.Namespace) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}
{{- else -}}
{{- .Values.external.keyManagers | toJson -}}
{{- end -}}
{{- end -}}

{{/* The chain that the other services deliver to. */}}
{{- define "virp.origin" -}}
{{- if .Values.onode.enabled -}}{{- with .Values.onode.chains -}}{{- (first .).origin -}}{{- end -}}{{- else -}}{{- .Values.external.origin -}}{{- end -}}
{{- end -}}
