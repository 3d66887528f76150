"""The search methods that are compared, each as a searcher that proposes and an estimator that concludes."""
