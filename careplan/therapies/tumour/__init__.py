"""A lung tumour under chemotherapy and radiotherapy: the therapy of the counterfactual benchmark, declared. For research only."""
