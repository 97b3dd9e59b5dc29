from torch import nn

from mpcore.training.dropout import disable_dropout


def test_dropout_goes_and_batch_statistics_stay():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))
    disable_dropout(model)
    assert (model[0].training, model[1].training) == (True, False)


def test_recurrent_layers_stay_in_training_without_dropout():
    """In evaluation mode cuDNN has no gradients of theirs."""
    model = nn.ModuleList([nn.LSTM(4, 4, num_layers=2, dropout=0.5), nn.Dropout()])
    disable_dropout(model)
    assert [module.training for module in model] == [True, False]
    assert model[0].dropout == 0.0
