{{- define "tokenkeep.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for what is put behind it, and for a StatefulSet's own labels. */}}
{{- define "tokenkeep.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "tokenkeep.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "tokenkeep.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* (dict "root" $ "kind" "api") */}}
{{- define "tokenkeep.selector" -}}
app.kubernetes.io/name: {{ include "tokenkeep.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .kind }}
{{- end }}

{{- define "tokenkeep.labels" -}}
{{ include "tokenkeep.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tokenkeep.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "tokenkeep.env" -}}
- name: TOKENKEEP_SECRETS_DIR
  value: /run/secrets/tokenkeep
{{- range $name, $value := .Values.settings }}
- name: TOKENKEEP_{{ $name }}
  {{- /* Helm holds every number as a float, and would write a million as 1e+06. */}}
  {{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}
  value: {{ $value | int64 | quote }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* One file for each secret that the process needs: (dict "root" $ "secrets" (list "databaseUrl" …) "optional" (list …)) */}}
{{- define "tokenkeep.secrets" -}}
- name: secrets
  projected:
    # Root's, and read by the pod's group alone (fsGroup).
    defaultMode: 0440
    sources:
    {{- range .secrets }}
      {{- $secret := index $.root.Values.secrets . }}
      - secret:
          name: {{ required (printf "secrets.%s.name: must be set, or secrets.existingSecret" .) ($secret.name | default $.root.Values.secrets.existingSecret) }}
          items: [{key: {{ $secret.key }}, path: tokenkeep_{{ snakecase . }}}]
    {{- end }}
    {{- range $one := .optional }}
      {{- $secret := index $.root.Values.secrets $one }}
      {{- with $secret.name | default $.root.Values.secrets.existingSecret }}
      - secret:
          name: {{ . }}
          optional: true
          items: [{key: {{ $secret.key }}, path: tokenkeep_{{ snakecase $one }}}]
      {{- end }}
    {{- end }}
{{- end }}

{{- define "tokenkeep.podSecurity" -}}
automountServiceAccountToken: false
serviceAccountName: {{ .Values.serviceAccountName }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "tokenkeep.containerSecurity" -}}
image: {{ include "tokenkeep.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Placed apart by node and by zone, where there are any; (dict "root" $ "kind" "api") */}}
{{- define "tokenkeep.placement" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tokenkeep.selector" $ | nindent 8 }}
  {{- end }}
{{- with index .root.Values .kind }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Liveness asks whether the loop turns, never whether the database answers: a worker may hold the only copy of an answer. */}}
{{- define "tokenkeep.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 2
{{- end }}

{{- define "tokenkeep.podMetadata" -}}
labels:
  {{- include "tokenkeep.labels" . | nindent 2 }}
  {{- with (index .root.Values .kind).podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .kind }}
  {{- with (index .root.Values .kind).podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /*
What is not told of would be missed by nobody: rules and dashboard are symbolic links, which some ways of fetching a repository leave out,
or make into texts that say where they led.
*/}}
{{- define "tokenkeep.lost" -}}
{{ . }} is not in the chart: symbolic links were lost on the way; use what helm package makes
{{- end }}
