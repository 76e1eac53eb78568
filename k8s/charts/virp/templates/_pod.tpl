{{/* What the pods of the four services share. */}}

{{/* A projected volume of keys: dict name sources, where a source has secret, files and, in front of them, folder. In the Secret
     the key of a file is its path with _ for /, and where the entry has `versions` just `<version>.<kind>`. */}}
{{- define "virp.keyVolume" -}}
{{- $sources := list -}}
{{- range .entries -}}
{{- $items := list -}}
{{- range .items -}}{{- $items = append $items (dict "key" .key "path" .path "mode" 288) -}}{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" $items)) -}}
{{- end -}}
{{- if eq (len $sources) 1 -}}
{{- $secret := (first $sources).secret -}}
{{- dict "name" .name "secret" (dict "secretName" $secret.name "defaultMode" 288 "items" $secret.items) | toJson -}}
{{- else if $sources -}}
{{- dict "name" .name "projected" (dict "defaultMode" 288 "sources" $sources) | toJson -}}
{{- else -}}
{{- dict "name" .name "emptyDir" (dict "sizeLimit" "1Mi") | toJson -}}
{{- end -}}
{{- end -}}

{{/* Entries for it of [{secret, files}], as a JSON list. */}}
{{- define "virp.keyEntries" -}}
{{- $out := list -}}
{{- range . -}}
{{- $items := list -}}
{{- range .files -}}{{- $items = append $items (dict "key" (replace "/" "_" .) "path" .) -}}{{- end -}}
{{- $out = append $out (dict "secret" .secret "items" $items) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* Options that every service has, as JSON: list root component. */}}
{{- define "virp.commonConfig" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- $ports := get (include "virp.ports" $root | fromYaml) $component -}}
{{- $tls := include "virp.tlsPaths" (list $root $component) | fromJson -}}
{{- $out := dict
  "log-level" $root.Values.logLevel
  "log-format" "json"
  "listen" (include "virp.listen" (list $root $ports.grpc))
  "admin-listen" (include "virp.listen" (list $root $ports.admin))
  "drain-delay" $root.Values.drainDelay
  "drain-grace" $root.Values.drainGrace
  "reflection" $root.Values.reflection -}}
{{- if not (include "virp.ownCertificates" .) -}}
{{- $out = merge $out (dict "tls-certificate" $tls.certificate "tls-key" $tls.key "tls-roots" $tls.roots) -}}
{{- end -}}
{{- if include "virp.hasIdentityMap" $root -}}
{{- $_ := set $out "identity-map" "/etc/virp/identities/identities.json" -}}
{{- else -}}
{{- $_ := set $out "trust-domain" $root.Values.trustDomain -}}
{{- end -}}
{{- if $root.Values.mtls.denyConfigMap -}}{{- $_ := set $out "deny-file" "/etc/virp/deny/deny" -}}{{- end -}}
{{- if $root.Values.breakGlass -}}{{- $_ := set $out "break-glass-socket" "/run/virp/break-glass/socket" -}}{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* What a deliverer needs to know of the chain, as JSON. */}}
{{- define "virp.deliveryConfig" -}}
{{- dict "onode" (include "virp.onodeAddresses" . | fromJsonArray) "origin" (include "virp.origin" .) "checkpoint-key" .Values.checkpointKeys | toJson -}}
{{- end -}}

{{/* Environment of libpq: what it demands of the server where the URL does not say. Nothing secret. */}}
{{- define "virp.databaseEnv" -}}
{{- $database := index . 1 -}}
{{- $out := list -}}
{{- if ne $database.mode "sqlite" -}}
{{- $out = append $out (dict "name" "PGSSLMODE" "value" $database.sslMode) -}}
{{- if or $database.ca.secret $database.ca.configMap (eq $database.mode "cloudNativePG") -}}
{{- $out = append $out (dict "name" "PGSSLROOTCERT" "value" "/etc/virp/database-ca/ca.crt") -}}
{{- end -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{- define "virp.databaseName" -}}
{{- .Values.cloudNativePG.name | default (printf "%s-db" (include "virp.fullname" .)) -}}
{{- end -}}

{{/* The Secret and key of a database URL: list root database which ("secret" or "migrationSecret"). */}}
{{- define "virp.databaseSecret" -}}
{{- $root := index . 0 -}}{{- $database := index . 1 -}}
{{- $own := get $database (index . 2) -}}
{{- if $own.name -}}
{{- $own | toJson -}}
{{- else if eq $database.mode "cloudNativePG" -}}
{{- dict "name" (printf "%s-app" (include "virp.databaseName" $root)) "key" "uri" | toJson -}}
{{- else -}}
{{- $database.secret | toJson -}}
{{- end -}}
{{- end -}}

{{/* Volumes of the database's URL and authority: list root database owner(bool). */}}
{{- define "virp.databaseVolumes" -}}
{{- $root := index . 0 -}}{{- $database := index . 1 -}}
{{- $out := list -}}
{{- if ne $database.mode "sqlite" -}}
{{- $secret := include "virp.databaseSecret" (list $root $database "secret") | fromJson -}}
{{- $out = append $out (dict "name" "database" "secret" (dict "secretName" $secret.name "defaultMode" 288 "items" (list (dict "key" $secret.key "path" "url")))) -}}
{{- if index . 2 -}}
{{- $secret = include "virp.databaseSecret" (list $root $database "migrationSecret") | fromJson -}}
{{- $out = append $out (dict "name" "database-owner" "secret" (dict "secretName" $secret.name "defaultMode" 288 "items" (list (dict "key" $secret.key "path" "url")))) -}}
{{- end -}}
{{- $items := list (dict "key" $database.ca.key "path" "ca.crt") -}}
{{- if $database.ca.configMap -}}
{{- $out = append $out (dict "name" "database-ca" "configMap" (dict "name" $database.ca.configMap "items" $items)) -}}
{{- else if $database.ca.secret -}}
{{- $out = append $out (dict "name" "database-ca" "secret" (dict "secretName" $database.ca.secret "defaultMode" 292 "items" $items)) -}}
{{- else if eq $database.mode "cloudNativePG" -}}
{{- $out = append $out (dict "name" "database-ca" "secret" (dict "secretName" (printf "%s-ca" (include "virp.databaseName" $root)) "defaultMode" 292 "items" (list (dict "key" "ca.crt" "path" "ca.crt")))) -}}
{{- end -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{- define "virp.databaseMounts" -}}
{{- $out := list -}}
{{- range index . 0 -}}
{{- $out = append $out (dict "name" .name "mountPath" (printf "/etc/virp/%s" .name) "readOnly" true) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* Spreading: rather on different nodes and in different zones. Only where there can be two. */}}
{{- define "virp.placement" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $values := index . 2 -}}{{- $several := index . 3 -}}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.affinity }}
affinity:
  {{- toYaml $values.affinity | nindent 2 }}
{{- else if $several }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "virp.selectorLabels" (list $root $component) | nindent 14 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else if $several }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "virp.selectorLabels" (list $root $component) | nindent 8 }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The workload of a service. dict root component values kind several replicas(empty: an autoscaler's) config files env volumes
     mounts ports initContainers stateMount minReadySeconds */}}
{{- define "virp.workload" -}}
{{- $root := .root -}}{{- $component := .component -}}{{- $values := .values -}}
{{- $name := include "virp.component" (list $root $component) -}}
{{- $ports := get (include "virp.ports" $root | fromYaml) $component -}}
{{- $mode := include "virp.mtlsMode" (list $root $component) -}}
{{- $claim := and $values.persistence.enabled (eq .kind "Deployment") -}}
{{- $volumes := concat
  (list (dict "name" "config" "configMap" (dict "name" $name)) (dict "name" "run" "emptyDir" (dict "medium" "Memory" "sizeLimit" "16Mi")) (dict "name" "tmp" "emptyDir" (dict "sizeLimit" "256Mi")))
  (include "virp.tlsVolumes" (list $root $component $values) | fromJsonArray) (.volumes | default list) -}}
{{- $mounts := concat
  (list (dict "name" "config" "mountPath" "/etc/virp/config" "readOnly" true) (dict "name" "run" "mountPath" "/run/virp") (dict "name" "tmp" "mountPath" "/tmp") (dict "name" "state" "mountPath" .stateMount))
  (include "virp.tlsMounts" $root | fromJsonArray) (.mounts | default list) -}}
{{- if include "virp.hasIdentityMap" $root -}}
{{- $volumes = append $volumes (dict "name" "identities" "configMap" (dict "name" (printf "%s-identities" (include "virp.fullname" $root)))) -}}
{{- $mounts = append $mounts (dict "name" "identities" "mountPath" "/etc/virp/identities" "readOnly" true) -}}
{{- end -}}
{{- with $root.Values.mtls.denyConfigMap -}}
{{- $volumes = append $volumes (dict "name" "deny" "configMap" (dict "name" .)) -}}
{{- $mounts = append $mounts (dict "name" "deny" "mountPath" "/etc/virp/deny" "readOnly" true) -}}
{{- end -}}
{{- if eq .kind "DaemonSet" -}}
{{- $volumes = append $volumes (dict "name" "state" "hostPath" (dict "path" $values.hostPath "type" "DirectoryOrCreate")) -}}
{{- else if not $values.persistence.enabled -}}
{{- $volumes = append $volumes (dict "name" "state" "emptyDir" (dict "sizeLimit" $values.persistence.size)) -}}
{{- else if $claim -}}
{{- $volumes = append $volumes (dict "name" "state" "persistentVolumeClaim" (dict "claimName" ($values.persistence.existingClaim | default $name))) -}}
{{- end -}}
{{- $volumes = concat $volumes $values.extraVolumes -}}
{{- $containerPorts := concat (list (dict "name" "grpc" "containerPort" $ports.grpc "protocol" "TCP") (dict "name" "admin" "containerPort" $ports.admin "protocol" "TCP")) (.ports | default list) -}}
{{- $container := dict
  "name" $component
  "image" (include "virp.image" (list $root $values.image))
  "imagePullPolicy" $root.Values.image.pullPolicy
  "args" (concat (list "--config" "/etc/virp/config/config.json") $values.extraArgs)
  "ports" $containerPorts
  "securityContext" $root.Values.securityContext
  "resources" $values.resources
  "volumeMounts" (concat $mounts $values.extraVolumeMounts)
  "startupProbe" (dict "httpGet" (dict "path" "/livez" "port" "admin") "periodSeconds" 5 "timeoutSeconds" 5 "failureThreshold" (div (add $values.startupSeconds 4) 5 | int))
  "livenessProbe" (dict "httpGet" (dict "path" "/livez" "port" "admin") "periodSeconds" 10 "timeoutSeconds" 5 "failureThreshold" 6)
  "readinessProbe" (dict "httpGet" (dict "path" "/readyz" "port" "admin") "periodSeconds" 5 "timeoutSeconds" 3 "failureThreshold" 2) -}}
{{- with concat (.env | default list) (include "virp.tlsEnv" (list $root $component) | fromJsonArray) $values.extraEnv -}}{{- $_ := set $container "env" . -}}{{- end -}}
{{- $inits := list -}}
{{- if eq $mode "spire" -}}{{- $inits = append $inits (include "virp.spireContainer" (list $root true) | fromJson) -}}{{- end -}}
{{- range .initContainers -}}
{{- $inits = append $inits (merge (dict "image" $container.image "imagePullPolicy" $container.imagePullPolicy "securityContext" $container.securityContext "resources" $container.resources "volumeMounts" $container.volumeMounts) .) -}}
{{- end -}}
{{- $containers := list $container -}}
{{- if eq $mode "spire" -}}{{- $containers = append $containers (include "virp.spireContainer" (list $root false) | fromJson) -}}{{- end -}}
{{- $containers = concat $containers $values.extraContainers -}}
apiVersion: apps/v1
kind: {{ .kind }}
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" $name) | nindent 2 }}
spec:
  {{- if and (ne .kind "DaemonSet") (ne (toString .replicas) "") }}
  replicas: {{ .replicas }}
  {{- end }}
  {{- if eq .kind "Deployment" }}
  strategy: {type: Recreate}
  {{- else }}
  updateStrategy:
    {{- toYaml $values.updateStrategy | nindent 4 }}
  {{- end }}
  {{- with .minReadySeconds }}
  minReadySeconds: {{ . }}
  {{- end }}
  {{- if eq .kind "StatefulSet" }}
  serviceName: {{ $name }}-headless
  podManagementPolicy: Parallel
  {{- if $values.persistence.enabled }}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: {{ $values.persistence.retain }}, whenScaled: {{ $values.persistence.retain }}}
  {{- end }}
  {{- end }}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      {{- include "virp.selectorLabels" (list $root $component) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "virp.podLabels" (list $root $component) | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ $component }}
        checksum/config: {{ toJson (list .config .files) | sha256sum }}
        {{- if include "virp.hasIdentityMap" $root }}
        checksum/identities: {{ include "virp.identityMap" $root | sha256sum }}
        {{- end }}
        {{- with merge (dict) $values.podAnnotations $root.Values.commonAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "virp.serviceAccountName" (list $root $component $values) }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
      {{- if not (kindIs "invalid" $values.hostUsers) }}
      hostUsers: {{ $values.hostUsers }}
      {{- end }}
      {{- with include "virp.pullSecrets" $root | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        {{- toYaml $root.Values.podSecurityContext | nindent 8 }}
      {{- with include "virp.placement" (list $root $component $values .several) | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $inits }}
      initContainers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        {{- toYaml $containers | nindent 8 }}
      volumes:
        {{- toYaml $volumes | nindent 8 }}
  {{- if and (eq .kind "StatefulSet") $values.persistence.enabled }}
  volumeClaimTemplates:
    - metadata:
        name: state
        labels:
          {{- include "virp.selectorLabels" (list $root $component) | nindent 10 }}
      spec:
        accessModes:
          {{- toYaml $values.persistence.accessModes | nindent 10 }}
        {{- with $values.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ $values.persistence.size }}}}
  {{- end }}
{{- if and $claim (not $values.persistence.existingClaim) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" $name "annotations" (eq $values.persistence.retain "Retain" | ternary (dict "helm.sh/resource-policy" "keep") (dict))) | nindent 2 }}
spec:
  accessModes:
    {{- toYaml $values.persistence.accessModes | nindent 4 }}
  {{- with $values.persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources: {requests: {storage: {{ $values.persistence.size }}}}
{{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" $name) | nindent 2 }}
data:
  config.json: |
    {{- mustToPrettyJson .config | nindent 4 }}
  {{- range $file, $content := .files }}
  {{ $file }}: |
    {{- mustToPrettyJson $content | nindent 4 }}
  {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" $name "annotations" $values.service.annotations) | nindent 2 }}
spec:
  {{- include "virp.serviceSpec" $values.service | nindent 2 }}
  selector:
    {{- include "virp.selectorLabels" (list $root $component) | nindent 4 }}
  ports:
    - {name: grpc, port: {{ $ports.grpc }}, targetPort: grpc, protocol: TCP}
    {{- range .servicePorts }}
    - {{ toJson . }}
    {{- end }}
---
{{/* Names for each pod, for clients that balance by themselves; also of pods that are not ready, since a client asks all. */ -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" (printf "%s-headless" $name)) | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "virp.selectorLabels" (list $root $component) | nindent 4 }}
  ports:
    - {name: grpc, port: {{ $ports.grpc }}, targetPort: grpc, protocol: TCP}
    - {name: admin, port: {{ $ports.admin }}, targetPort: admin, protocol: TCP}
{{- if $values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" (include "virp.serviceAccountName" (list $root $component $values)) "annotations" $values.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- if and .several $values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" $name) | nindent 2 }}
spec:
  {{- if $values.podDisruptionBudget.minAvailable }}
  minAvailable: {{ $values.podDisruptionBudget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "virp.selectorLabels" (list $root $component) | nindent 6 }}
{{- end }}
{{- if include "virp.ownCertificates" (list $root $component) }}
{{- range $i := until (include "virp.mostPods" (list $root $component) | int) }}
---
{{ include "virp.certificate" (list $root $component $values (printf "%s-%d" $name $i)) }}
{{- end }}
{{- else if eq $mode "certManager" }}
---
{{ include "virp.certificate" (list $root $component $values "") }}
{{- end }}
{{- end -}}

{{- define "virp.serviceSpec" -}}
type: {{ .type }}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* list root component values pod(empty: of all its pods) */}}
{{- define "virp.certificate" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $values := index . 2 -}}{{- $pod := index . 3 -}}
{{- $name := $pod | default (include "virp.component" (list $root $component)) -}}
{{- $id := "" -}}
{{- if eq $component "test" -}}
{{- $id = printf "spiffe://%s/reader/%s" $root.Values.trustDomain $name -}}
{{- else if eq $root.Values.mtls.idFormat "serviceAccount" -}}
{{- $id = include "virp.spiffeId" (list $root $component (include "virp.serviceAccountName" (list $root $component $values))) -}}
{{- if $pod -}}{{- $id = printf "%s/pod/%s" $id $pod -}}{{- end -}}
{{- else -}}
{{- $id = include "virp.spiffeId" (list $root $component $name) -}}
{{- end -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "virp.metadata" (dict "root" $root "component" $component "name" $name) | nindent 2 }}
spec:
  secretName: {{ $name }}-tls
  secretTemplate:
    labels:
      {{- include "virp.selectorLabels" (list $root $component) | nindent 6 }}
  uris:
    - {{ $id }}
  {{- if ne $component "test" }}
  dnsNames:
    {{- include "virp.dnsNames" (list $root $component $values) | fromJsonArray | toYaml | nindent 4 }}
  {{- end }}
  usages: [digital signature, server auth, client auth]
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  duration: {{ $root.Values.mtls.duration }}
  renewBefore: {{ $root.Values.mtls.renewBefore }}
  issuerRef:
    {{- toYaml $root.Values.mtls.issuerRef | nindent 4 }}
{{- end -}}
