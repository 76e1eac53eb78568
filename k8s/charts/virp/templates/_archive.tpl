{{/* What the O-Nodes and the job of their archive share. */}}
{{- define "virp.archiveClaim" -}}
{{- .Values.onode.archive.volume.existingClaim | default (include "virp.component" (list . "onode-archive")) -}}
{{- end -}}

{{/* Verifier keys of a chain, as a JSON list: list keys origin. */}}
{{- define "virp.archiveKeys" -}}
{{- $origin := index . 1 -}}{{- $out := list -}}
{{- range index . 0 -}}{{- if hasPrefix (printf "%s+" $origin) . -}}{{- $out = append $out . -}}{{- end -}}{{- end -}}
{{- $out | toJson -}}
{{- end -}}
