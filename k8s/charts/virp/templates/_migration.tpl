{{/* The Job that applies missing schema files. Its name holds a hash of what it does: a Job cannot be changed, and an upgrade that
     changes nothing of it runs nothing. dict root component values args */}}
{{- define "virp.migration" -}}
{{- $root := .root -}}{{- $values := .values -}}
{{- $database := $values.database -}}
{{- $program := get (dict "onode" "VIRP_ONODE" "keymgr" "VIRP_KEYMGR") .component -}}
{{- $volumes := append (include "virp.databaseVolumes" (list $root $database true) | fromJsonArray) (dict "name" "tmp" "emptyDir" (dict "sizeLimit" "16Mi")) -}}
{{- $databaseVolumes := include "virp.databaseVolumes" (list $root $database true) | fromJsonArray -}}
{{- $mounts := append (include "virp.databaseMounts" (list $databaseVolumes) | fromJsonArray) (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- $env := append (include "virp.databaseEnv" (list $root $database) | fromJsonArray) (dict "name" (printf "%s_LOG_FORMAT" $program) "value" "json") -}}
{{- $component := printf "%s-migrate" .component -}}
{{- $container := dict
  "name" "migrate"
  "image" (include "virp.image" (list $root $values.image))
  "imagePullPolicy" $root.Values.image.pullPolicy
  "args" (concat (list "--store" "file:/etc/virp/database/url" "--migrate-store" "file:/etc/virp/database-owner/url") .args (list "migrate"))
  "env" $env
  "securityContext" $root.Values.securityContext
  "resources" $root.Values.migrations.resources
  "volumeMounts" $mounts -}}
{{- $hash := toJson (list $container $volumes $root.Values.podSecurityContext) | sha256sum | trunc 8 -}}
{{- $annotations := dict -}}
{{- if $root.Values.migrations.hook -}}
{{- $annotations = dict "helm.sh/hook" "pre-install,pre-upgrade" "helm.sh/hook-weight" "-5" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- end -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" (printf "%s-%s" (include "virp.component" (list $root $component)) $hash) "annotations" $annotations) | nindent 2 }}
spec:
  backoffLimit: {{ $root.Values.migrations.backoffLimit }}
  activeDeadlineSeconds: {{ $root.Values.migrations.activeDeadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "virp.podLabels" (list $root $component) | nindent 8 }}
      {{- with $root.Values.commonAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: OnFailure
      # Talks to the database only, so it needs no account of its own; as a hook it runs before there is one.
      serviceAccountName: default
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with include "virp.pullSecrets" $root | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        {{- toYaml $root.Values.podSecurityContext | nindent 8 }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        {{- toYaml (list $container) | nindent 8 }}
      volumes:
        {{- toYaml $volumes | nindent 8 }}
{{- end -}}
