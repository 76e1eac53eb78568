{{/* Identities and certificates. */}}

{{- define "virp.mtlsMode" -}}
{{- $root := index . 0 -}}
{{- if and (eq (index . 1) "collector") $root.Values.mtls.collectorMode -}}{{- $root.Values.mtls.collectorMode -}}
{{- else -}}{{- $root.Values.mtls.mode -}}{{- end -}}
{{- end -}}

{{/* The id of a component: list root component name. `name` may hold a variable of the CSI driver. */}}
{{- define "virp.spiffeId" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.mtls.idFormat "serviceAccount" -}}
{{- printf "spiffe://%s/ns/%s/sa/%s" $root.Values.trustDomain $root.Release.Namespace (index . 2) -}}
{{- else -}}
{{- printf "spiffe://%s/%s/%s" $root.Values.trustDomain (index . 1) (index . 2) -}}
{{- end -}}
{{- end -}}

{{/* Whether each pod of a StatefulSet has a Certificate of its own: whoever signs is known by its id, and the key manager lets it make
     the keys of the sources that name it. list root component */}}
{{- define "virp.ownCertificates" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- if has $component (list "collector" "rtr-bridge") -}}
{{- $values := get $root.Values ($component | replace "rtr-bridge" "rtrBridge") -}}
{{- if and (eq $values.kind "StatefulSet") (eq (include "virp.mtlsMode" .) "certManager") -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* What names a pod in its id, for as long as its source is its own: list root component values variable. A StatefulSet's pods keep
     their names; the one pod of a Deployment has another one each time. */}}
{{- define "virp.lastingName" -}}
{{- if eq (index . 2).kind "Deployment" -}}{{- include "virp.component" (list (index . 0) (index . 1)) -}}{{- else -}}{{- index . 3 -}}{{- end -}}
{{- end -}}

{{/* Whether each pod has an id of its own: list root component. */}}
{{- define "virp.ownIdentities" -}}
{{- $mode := include "virp.mtlsMode" . -}}
{{- if or (include "virp.ownCertificates" .) (eq $mode "csiDriver") (and (eq $mode "spire") (eq (index . 0).Values.mtls.idFormat "role")) -}}true{{- end -}}
{{- end -}}

{{/* How many pods there may be: list root component. */}}
{{- define "virp.mostPods" -}}
{{- $values := get (index . 0).Values (index . 1 | replace "rtr-bridge" "rtrBridge") -}}
{{- if dig "autoscaling" "enabled" false $values -}}{{- $values.autoscaling.maxReplicas -}}{{- else -}}{{- max (int $values.replicas) 1 -}}{{- end -}}
{{- end -}}

{{/* Environment of a pod whose certificate is of its own, as a JSON list: list root component. */}}
{{- define "virp.tlsEnv" -}}
{{- $out := list -}}
{{- if include "virp.ownCertificates" . -}}
{{- $prefix := printf "VIRP_%s" (index . 1 | upper | replace "-" "_") -}}
{{- $paths := include "virp.tlsPaths" . | fromJson -}}
{{- $names := dict "TLS_CERTIFICATE" $paths.certificate "TLS_KEY" $paths.key "TLS_ROOTS" $paths.roots -}}
{{- if eq (index . 1) "rtr-bridge" -}}
{{- $values := (index . 0).Values.rtrBridge -}}
{{- if and $values.rtr.tls.enabled (not $values.rtr.tls.secret) -}}{{- $names = merge $names (dict "RTR_TLS_CERTIFICATE" $paths.certificate "RTR_TLS_KEY" $paths.key) -}}{{- end -}}
{{- if $values.http.enabled -}}{{- $names = merge $names (dict "HTTP_CERTIFICATE" $paths.certificate "HTTP_KEY" $paths.key) -}}{{- end -}}
{{- end -}}
{{- range $name, $path := $names -}}{{- $out = append $out (dict "name" (printf "%s_%s" $prefix $name) "value" $path) -}}{{- end -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* Whether services read an identity map; else ids are spiffe://DOMAIN/ROLE/NAME. */}}
{{- define "virp.hasIdentityMap" -}}
{{- if or (eq .Values.mtls.idFormat "serviceAccount") .Values.mtls.identityMap -}}true{{- end -}}
{{- end -}}

{{/* DNS names of a component's certificate, as a JSON list: list root component values. */}}
{{- define "virp.dnsNames" -}}
{{- $root := index . 0 -}}{{- $values := index . 2 -}}
{{- $name := include "virp.component" (list $root (index . 1)) -}}
{{- $out := list -}}
{{- range $service := list $name (printf "%s-headless" $name) (printf "*.%s-headless" $name) -}}
{{- range $suffix := list "" "." -}}
{{- $base := printf "%s.%s" $service $root.Release.Namespace -}}
{{- if $suffix -}}
{{- $out = append $out (printf "%s.svc.%s" $base $root.Values.clusterDomain) -}}
{{- else -}}
{{- if not (hasPrefix "*" $service) -}}{{- $out = append $out $service -}}{{- $out = append $out $base -}}{{- end -}}
{{- $out = append $out (printf "%s.svc" $base) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- concat $out $values.extraDnsNames | toJson -}}
{{- end -}}

{{/* Volumes with tls.crt, tls.key and roots, as a JSON list: list root component values. Directories, never subPath: a renewed
     certificate arrives. */}}
{{- define "virp.tlsVolumes" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $values := index . 2 -}}
{{- $mtls := $root.Values.mtls -}}
{{- $mode := include "virp.mtlsMode" (list $root $component) -}}
{{- $out := list -}}
{{- if include "virp.ownCertificates" (list $root $component) -}}
{{- /* All of them in each pod, in folders with the pods' names: a template has no other way to a Secret of one pod alone. */ -}}
{{- $sources := list -}}
{{- $name := include "virp.component" (list $root $component) -}}
{{- range $i := until (include "virp.mostPods" (list $root $component) | int) -}}
{{- $items := list -}}
{{- range $file := list "tls.crt" "tls.key" "ca.crt" -}}{{- $items = append $items (dict "key" $file "path" (printf "%s-%d/%s" $name $i $file)) -}}{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" (printf "%s-%d-tls" $name $i) "items" $items)) -}}
{{- end -}}
{{- $out = append $out (dict "name" "tls" "projected" (dict "defaultMode" 288 "sources" $sources)) -}}
{{- else if eq $mode "certManager" -}}
{{- $out = append $out (dict "name" "tls" "secret" (dict "secretName" (printf "%s-tls" (include "virp.component" (list $root $component))) "defaultMode" 288)) -}}
{{- else if eq $mode "existingSecret" -}}
{{- $key := $component | replace "rtr-bridge" "rtrBridge" -}}
{{- $out = append $out (dict "name" "tls" "secret" (dict "secretName" (get $mtls.existingSecrets $key) "defaultMode" 288)) -}}
{{- else if eq $mode "csiDriver" -}}
{{- $service := include "virp.component" (list $root $component) -}}
{{- $pod := include "virp.lastingName" (list $root $component $values "${POD_NAME}") -}}
{{- $names := list (printf "${POD_NAME}.%s-headless.${POD_NAMESPACE}.svc" $service) (printf "${POD_NAME}.%s-headless.${POD_NAMESPACE}.svc.%s" $service $root.Values.clusterDomain) (printf "%s.${POD_NAMESPACE}.svc" $service) (printf "%s.${POD_NAMESPACE}.svc.%s" $service $root.Values.clusterDomain) -}}
{{- $id := printf "spiffe://%s/%s/%s" $root.Values.trustDomain (eq $component "test" | ternary "reader" $component) $pod -}}
{{- if and (eq $mtls.idFormat "serviceAccount") (ne $component "test") -}}
{{- $id = printf "spiffe://%s/ns/${POD_NAMESPACE}/sa/%s/pod/%s" $root.Values.trustDomain (include "virp.serviceAccountName" (list $root $component $values)) $pod -}}
{{- end -}}
{{- $attributes := dict
  "csi.cert-manager.io/issuer-name" $mtls.issuerRef.name
  "csi.cert-manager.io/issuer-kind" $mtls.issuerRef.kind
  "csi.cert-manager.io/issuer-group" $mtls.issuerRef.group
  "csi.cert-manager.io/uri-sans" $id
  "csi.cert-manager.io/dns-names" (concat $names $values.extraDnsNames | join ",")
  "csi.cert-manager.io/duration" $mtls.duration
  "csi.cert-manager.io/renew-before" $mtls.renewBefore
  "csi.cert-manager.io/key-usages" "digital signature,server auth,client auth" -}}
{{- with $root.Values.podSecurityContext.fsGroup -}}{{- $_ := set $attributes "csi.cert-manager.io/fs-group" (int . | toString) -}}{{- end -}}
{{- $out = append $out (dict "name" "tls" "csi" (dict "driver" "csi.cert-manager.io" "readOnly" true "volumeAttributes" $attributes)) -}}
{{- else if eq $mode "csiDriverSpiffe" -}}
{{- $csi := dict "driver" "spiffe.csi.cert-manager.io" "readOnly" true -}}
{{- with $root.Values.podSecurityContext.fsGroup -}}{{- $_ := set $csi "volumeAttributes" (dict "spiffe.csi.cert-manager.io/fs-group" (int . | toString)) -}}{{- end -}}
{{- $out = append $out (dict "name" "tls" "csi" $csi) -}}
{{- else if eq $mode "spire" -}}
{{- $out = append $out (dict "name" "tls" "emptyDir" (dict "medium" "Memory" "sizeLimit" "1Mi")) -}}
{{- $out = append $out (dict "name" "spire-socket" "csi" (dict "driver" $mtls.spire.csiDriver "readOnly" true)) -}}
{{- $out = append $out (dict "name" "spiffe-helper" "configMap" (dict "name" (printf "%s-spiffe-helper" (include "virp.fullname" $root)))) -}}
{{- end -}}
{{- with $mtls.trustBundle.configMap -}}
{{- $out = append $out (dict "name" "roots" "configMap" (dict "name" . "items" (list (dict "key" $mtls.trustBundle.key "path" "ca.crt")))) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* Mounts beside them, as a JSON list. */}}
{{- define "virp.tlsMounts" -}}
{{- $root := . -}}
{{- $out := list (dict "name" "tls" "mountPath" "/etc/virp/tls" "readOnly" true) -}}
{{- if .Values.mtls.trustBundle.configMap -}}
{{- $out = append $out (dict "name" "roots" "mountPath" "/etc/virp/roots" "readOnly" true) -}}
{{- end -}}
{{- $out | toJson -}}
{{- end -}}

{{/* Paths of certificate, key and roots, as a JSON object: list root component. */}}
{{- define "virp.tlsPaths" -}}
{{- $root := index . 0 -}}
{{- $files := dict "certificate" "tls.crt" "key" "tls.key" "roots" "ca.crt" -}}
{{- if eq (include "virp.mtlsMode" .) "csiDriverSpiffe" -}}{{- $files = $root.Values.mtls.csiDriverSpiffe -}}{{- end -}}
{{- $folder := "/etc/virp/tls" -}}
{{- if include "virp.ownCertificates" . -}}{{- $folder = "/etc/virp/tls/$(POD_NAME)" -}}{{- end -}}
{{- $roots := printf "%s/%s" $folder $files.roots -}}
{{- if $root.Values.mtls.trustBundle.configMap -}}{{- $roots = "/etc/virp/roots/ca.crt" -}}{{- end -}}
{{- dict "certificate" (printf "%s/%s" $folder $files.certificate) "key" (printf "%s/%s" $folder $files.key) "roots" $roots | toJson -}}
{{- end -}}

{{/* The helper of SPIRE: once before the service starts, then beside it. */}}
{{- define "virp.spireContainer" -}}
{{- $root := index . 0 -}}{{- $spire := $root.Values.mtls.spire -}}
{{- $mounts := list (dict "name" "tls" "mountPath" "/etc/virp/tls") (dict "name" "spire-socket" "mountPath" "/run/spire/sockets" "readOnly" true) (dict "name" "spiffe-helper" "mountPath" "/etc/spiffe-helper" "readOnly" true) -}}
{{- $once := index . 1 -}}
{{- dict
  "name" (ternary "spiffe-helper-first" "spiffe-helper" $once)
  "image" (include "virp.image" (list $root $spire.image))
  "imagePullPolicy" $root.Values.image.pullPolicy
  "args" (list "-config" (printf "/etc/spiffe-helper/%s.conf" (ternary "once" "daemon" $once)))
  "securityContext" $root.Values.securityContext
  "resources" $spire.resources
  "volumeMounts" $mounts | toJson -}}
{{- end -}}

{{/* Seconds of a duration such as 1h30m. */}}
{{- define "virp.seconds" -}}
{{- $out := 0 -}}
{{- range $unit, $seconds := dict "h" 3600 "m" 60 "s" 1 -}}
{{- range regexFindAll (printf "[0-9]+%s" $unit) $ -1 -}}{{- $out = add $out (mul (trimSuffix $unit . | int) $seconds) -}}{{- end -}}
{{- end -}}
{{- $out -}}
{{- end -}}

{{/* What is left of a certificate when its renewal is overdue, where the values do not say: the least of the modes in use. */}}
{{- define "virp.certificateSecondsLeft" -}}
{{- $out := 21600 -}}
{{- range compact (list .Values.mtls.mode .Values.mtls.collectorMode) -}}
{{- if has . (list "certManager" "csiDriver") -}}{{- $out = min $out (div (mul (include "virp.seconds" $.Values.mtls.renewBefore | int) 3) 4) -}}{{- end -}}
{{- if has . (list "spire" "csiDriverSpiffe") -}}{{- $out = min $out 900 -}}{{- end -}}
{{- end -}}
{{- $out -}}
{{- end -}}
