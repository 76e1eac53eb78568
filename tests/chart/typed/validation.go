package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/apps"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"
)

// What an API server fills in by itself before it validates.
func prepare(found runtime.Object) {
	switch o := found.(type) {
	case *core.Service:
		if o.Spec.ClusterIP != "" {
			o.Spec.ClusterIPs = []string{o.Spec.ClusterIP}
		}
		if o.Spec.Type == core.ServiceTypeLoadBalancer && o.Spec.ExternalTrafficPolicy == core.ServiceExternalTrafficPolicyLocal {
			o.Spec.HealthCheckNodePort = 30000
		}
	case *batch.Job:
		o.UID = "uid"
		own := map[string]string{
			"batch.kubernetes.io/controller-uid": "uid", "batch.kubernetes.io/job-name": o.Name, "controller-uid": "uid", "job-name": o.Name,
		}
		for name, value := range own {
			o.Spec.Template.Labels[name] = value
		}
		o.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"batch.kubernetes.io/controller-uid": "uid"}}
	}
}

func validate(found runtime.Object) field.ErrorList {
	pods := corevalidation.PodValidationOptions{}
	switch o := found.(type) {
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(o, pods)
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(o, pods)
	case *apps.DaemonSet:
		return appsvalidation.ValidateDaemonSet(o, pods)
	case *batch.Job:
		return batchvalidation.ValidateJob(o, batchvalidation.JobValidationOptions{PodValidationOptions: pods, RequirePrefixedLabels: true})
	case *batch.CronJob:
		return batchvalidation.ValidateCronJobCreate(o, pods)
	case *core.Pod:
		return corevalidation.ValidatePodCreate(o, pods)
	case *core.Service:
		return corevalidation.ValidateServiceCreate(o)
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(o)
	case *core.Secret:
		return corevalidation.ValidateSecret(o)
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(o)
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(o, corevalidation.ValidationOptionsForPersistentVolumeClaimCreate())
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(o, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1})
	}
	return field.ErrorList{field.NotSupported(field.NewPath("kind"), fmt.Sprintf("%T", found), []string{"those of validation.go"})}
}

// Of the kinds with fields that cannot be changed.
func validateUpdate(found, before runtime.Object) field.ErrorList {
	pods := corevalidation.PodValidationOptions{}
	switch o := found.(type) {
	case *apps.StatefulSet:
		o.ResourceVersion = "1"
		return appsvalidation.ValidateStatefulSetUpdate(o, before.(*apps.StatefulSet), pods)
	case *apps.Deployment:
		o.ResourceVersion = "1"
		return appsvalidation.ValidateDeploymentUpdate(o, before.(*apps.Deployment), pods)
	case *apps.DaemonSet:
		o.ResourceVersion = "1"
		return appsvalidation.ValidateDaemonSetUpdate(o, before.(*apps.DaemonSet), pods)
	case *batch.Job:
		o.ResourceVersion = "1"
		return batchvalidation.ValidateJobUpdate(o, before.(*batch.Job), batchvalidation.JobValidationOptions{PodValidationOptions: pods, RequirePrefixedLabels: true})
	case *core.PersistentVolumeClaim:
		o.ResourceVersion = "1"
		return corevalidation.ValidatePersistentVolumeClaimUpdate(o, before.(*core.PersistentVolumeClaim),
			corevalidation.ValidationOptionsForPersistentVolumeClaim(o, before.(*core.PersistentVolumeClaim)))
	}
	return nil
}

// What Pod Security "restricted" has against the pod of an object.
func forbidden(found runtime.Object) []string {
	var meta *metav1.ObjectMeta
	var spec *corev1.PodSpec
	switch o := found.(type) {
	case *appsv1.StatefulSet:
		meta, spec = &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *appsv1.Deployment:
		meta, spec = &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		meta, spec = &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *batchv1.CronJob:
		meta, spec = &o.Spec.JobTemplate.Spec.Template.ObjectMeta, &o.Spec.JobTemplate.Spec.Template.Spec
	case *batchv1.Job:
		meta, spec = &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *corev1.Pod:
		meta, spec = &o.ObjectMeta, &o.Spec
	default:
		return nil
	}
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks())
	fatal(err)
	var out []string
	for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, meta, spec) {
		if !result.Allowed {
			out = append(out, fmt.Sprintf("%s (%s)", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return out
}
